//! Builds the firmware around its memory map and its model.
fn main() {
    nearfield_firmware_build::firmware("../../models/pocket.gguf");
}
