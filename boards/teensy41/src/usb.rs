//! Serial port over USB (CDC ACM), which an interrupt serves: a text that is generated never delays the host's questions.
//!
//! Two buffers lie between the interrupt and the program. That of the text is a ring: as long as no terminal has opened the port, the newest
//! text replaces the oldest, and a terminal that opens it shows what was written last, the prompt among it.

use core::cell::RefCell;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m::interrupt::{self as interrupts, Mutex};
use cortex_m::peripheral::NVIC;
use cortex_m_rt::interrupt;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::pipe::Pipe;
use static_cell::StaticCell;
use teensy4_bsp::usbd::{BusAdapter, EndpointMemory, EndpointState, Instances, Speed};
use teensy4_bsp::{Interrupt, interrupt};
use usb_device::bus::UsbBusAllocator;
use usb_device::device::{StringDescriptors, UsbDevice, UsbDeviceBuilder, UsbDeviceState, UsbVidPid};
use usb_device::{LangID, UsbError};
use usbd_serial::SerialPort;

/// Bytes of a packet: the most of full-speed USB.
const PACKET: usize = 64;

static MEMORY: EndpointMemory<1024> = EndpointMemory::new();
static STATE: EndpointState = EndpointState::max_endpoints();
static BUS: StaticCell<UsbBusAllocator<BusAdapter>> = StaticCell::new();
static USB: Mutex<RefCell<Option<Usb>>> = Mutex::new(RefCell::new(None));
static TEXT: Pipe<CriticalSectionRawMutex, 1024> = Pipe::new();
static TYPED: Pipe<CriticalSectionRawMutex, 256> = Pipe::new();
/// True while a terminal has opened the port (DTR).
static OPEN: AtomicBool = AtomicBool::new(false);

/// Device with its port, and the text that it takes next.
struct Usb {
    device: UsbDevice<'static, BusAdapter>,
    port: SerialPort<'static, BusAdapter>,
    is_configured: bool,
    packet: [u8; PACKET],
    /// Bytes of the packet that are still to be sent.
    unsent: Range<usize>,
}

/// Starts the device. Called once.
pub fn start(usb: Instances<1>) {
    let bus = BusAdapter::with_speed(usb, &MEMORY, &STATE, Speed::LowFull);
    bus.set_interrupts(true);
    let bus = BUS.init(UsbBusAllocator::new(bus));
    let port = SerialPort::new(bus);
    let strings = StringDescriptors::new(LangID::EN_US).manufacturer("nearfield").product("nearfield on teensy41");
    // Numbers that V-USB shares with serial ports of any maker.
    let device = UsbDeviceBuilder::new(bus, UsbVidPid(0x16c0, 0x27dd)).device_class(usbd_serial::USB_CLASS_CDC);
    // One language is no more than the most.
    let Ok(device) = device.strings(&[strings]) else { return };
    let usb = Usb { device: device.build(), port, is_configured: false, packet: [0; PACKET], unsent: 0..0 };
    interrupts::free(|cs| *USB.borrow(cs).borrow_mut() = Some(usb));
    // SAFETY: no critical section of this program is made by masking this interrupt: they turn all of them off (`interrupts::free`).
    unsafe { NVIC::unmask(Interrupt::USB_OTG1) }
}

/// True while a terminal has opened the port.
pub fn is_open() -> bool {
    OPEN.load(Ordering::Relaxed)
}

/// Number of bytes of a text that the ring had room for.
pub fn try_send(bytes: &[u8]) -> usize {
    let n = TEXT.try_write(bytes).unwrap_or(0);
    NVIC::pend(Interrupt::USB_OTG1);
    n
}

/// Drops the oldest text of the ring.
pub fn drop_oldest() {
    let _ = TEXT.try_read(&mut [0; PACKET]);
}

/// Byte that was typed, without waiting; `None` if there is none.
pub fn try_receive() -> Option<u8> {
    let mut byte = [0];
    TYPED.try_read(&mut byte).ok()?;
    // A host waits while the buffer is full.
    NVIC::pend(Interrupt::USB_OTG1);
    Some(byte[0])
}

/// Called by the USB controller, and when there is text or room.
#[interrupt]
fn USB_OTG1() {
    interrupts::free(|cs| {
        if let Some(usb) = USB.borrow(cs).borrow_mut().as_mut() {
            usb.serve();
        }
    });
}

impl Usb {
    fn serve(&mut self) {
        while self.device.poll(&mut [&mut self.port]) {
            self.take_typed();
        }
        self.take_typed();
        let is_configured = self.device.state() == UsbDeviceState::Configured;
        if is_configured && !self.is_configured {
            self.device.bus().configure();
        }
        self.is_configured = is_configured;
        let is_open = is_configured && self.port.dtr();
        OPEN.store(is_open, Ordering::Relaxed);
        if is_open {
            self.send();
        }
    }

    /// Takes what is typed, as long as there is room for a packet.
    fn take_typed(&mut self) {
        let mut packet = [0; PACKET];
        while TYPED.free_capacity() >= PACKET {
            match self.port.read(&mut packet) {
                Ok(n) if n > 0 => _ = TYPED.try_write(packet.get(..n).unwrap_or_default()),
                _ => return,
            }
        }
    }

    /// Sends text until the host takes no more; the next packet that it took calls again.
    fn send(&mut self) {
        loop {
            if self.unsent.is_empty() {
                let Ok(len) = TEXT.try_read(&mut self.packet) else { break };
                self.unsent = 0..len;
            }
            match self.port.write(self.packet.get(self.unsent.clone()).unwrap_or_default()) {
                Ok(n) => self.unsent.start += n,
                Err(UsbError::WouldBlock) => break,
                Err(_) => self.unsent = 0..0,
            }
        }
        let _ = self.port.flush();
    }
}
