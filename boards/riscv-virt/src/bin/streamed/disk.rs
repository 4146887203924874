//! The disk that QEMU gives the machine (`-device virtio-blk-device`): a [`Storage`] that reads while a layer is computed.

use core::ptr::{NonNull, addr_of_mut};
use core::sync::atomic::{AtomicUsize, Ordering};

use nearfield::{Storage, StorageError, StreamPlan};
use virtio_drivers::device::blk::{BlkReq, BlkResp, SECTOR_SIZE, VirtIOBlk};
use virtio_drivers::transport::mmio::{MmioTransport, VirtIOHeader};
use virtio_drivers::transport::{DeviceType, Transport};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

/// First of the machine's eight windows for virtio devices, of 4 KiB each. Source: QEMU, `hw/riscv/virt.c`, `VIRT_VIRTIO`.
const DEVICES: usize = 0x1000_1000;
const N_DEVICES: usize = 8;
const WINDOW: usize = 0x1000;

/// Pages for the driver's queue: two of a device of the older interface, and as many to spare.
const N_PAGES: usize = 4;

/// Error number of a disk that is not there.
pub const NO_DISK: StorageError = StorageError(1);
const READ: StorageError = StorageError(2);

/// Memory and addresses of the machine, as the driver asks for them.
struct Machine;

#[repr(C, align(4096))]
struct Pages([[u8; PAGE_SIZE]; N_PAGES]);
static mut PAGES: Pages = Pages([[0; PAGE_SIZE]; N_PAGES]);
/// Number of pages given out.
static N_TAKEN: AtomicUsize = AtomicUsize::new(0);

// SAFETY: addresses are physical ones, memory is coherent, and pages are given out once: they are aligned, zero and nobody else's.
unsafe impl Hal for Machine {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let first = N_TAKEN.fetch_add(pages, Ordering::Relaxed);
        if first + pages > N_PAGES {
            // The driver takes 0 for an error.
            return (0, NonNull::dangling());
        }
        // SAFETY: the page lies in the static, since `first` is below its number of pages.
        let page = unsafe { addr_of_mut!(PAGES).cast::<u8>().add(first * PAGE_SIZE) };
        (page.addr() as PhysAddr, NonNull::new(page).unwrap_or(NonNull::dangling()))
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        // The disk is there until power-off.
        0
    }

    unsafe fn mmio_phys_to_virt(at: PhysAddr, _: usize) -> NonNull<u8> {
        NonNull::new(core::ptr::with_exposed_provenance_mut(at as usize)).unwrap_or(NonNull::dangling())
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        // The device writes there, which the compiler has to know.
        buffer.cast::<u8>().as_ptr().expose_provenance() as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

/// Disk with the model file from its first byte on.
pub struct Disk(VirtIOBlk<Machine, MmioTransport<'static>>);

impl Disk {
    /// The first disk of the machine; `None` without one.
    pub fn find() -> Option<Self> {
        (0..N_DEVICES).find_map(|i| {
            let header = NonNull::new(core::ptr::with_exposed_provenance_mut::<VirtIOHeader>(DEVICES + i * WINDOW))?;
            // SAFETY: each window holds the registers of a device, or of none, which the driver sees by their numbers; only the disk's
            // stay in use.
            let transport = unsafe { MmioTransport::new(header, WINDOW) }.ok()?;
            let is_disk = transport.device_type() == DeviceType::Block;
            is_disk.then(|| VirtIOBlk::new(transport).ok().map(Self)).flatten()
        })
    }
}

impl Storage for Disk {
    fn read(&mut self, at: u64, to: &mut [u8], work: &mut dyn FnMut()) -> Result<(), StorageError> {
        const { assert!(StreamPlan::BLOCK == SECTOR_SIZE as u64) };
        if to.is_empty() {
            return Ok(());
        }
        let (mut request, mut response) = (BlkReq::default(), BlkResp::default());
        let sector = (at / StreamPlan::BLOCK) as usize;
        // SAFETY: nobody looks at request, bytes or response before `complete_read_blocks`, which is always reached: `work` cannot unwind,
        // since a panic ends the program.
        let token = unsafe { self.0.read_blocks_nb(sector, &mut request, to, &mut response) }.map_err(|_| READ)?;
        work();
        while self.0.peek_used() != Some(token) {
            core::hint::spin_loop();
        }
        // SAFETY: these are the request, bytes and response of the token.
        unsafe { self.0.complete_read_blocks(token, &request, to, &mut response) }.map_err(|_| READ)
    }
}
