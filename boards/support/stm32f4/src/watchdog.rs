//! Watchdog: RM0090 and RM0383, "Independent watchdog (IWDG)".

use crate::register::registers;

registers! {
    IWDG_KR = 0x4000_3000 + 0x00;
    IWDG_PR = 0x4000_3000 + 0x04;
    IWDG_RLR = 0x4000_3000 + 0x08;
    IWDG_SR = 0x4000_3000 + 0x0c;
}

/// Keys: to write the settings, to count anew, to start.
const WRITE: u32 = 0x5555;
const FEED: u32 = 0xaaaa;
const START: u32 = 0xcccc;

/// Starts the watchdog, which resets a chip that hangs for ten seconds: its oscillator has 17 to 47 kHz, so for 7 to 19.
pub(crate) fn start() {
    IWDG_KR.write(START);
    IWDG_KR.write(WRITE);
    // 32 kHz divided by 256.
    IWDG_PR.write(6);
    IWDG_RLR.write(1249);
    IWDG_SR.becomes(3, 0);
    feed();
}

/// Lets it count anew.
pub(crate) fn feed() {
    IWDG_KR.write(FEED);
}
