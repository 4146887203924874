//! Builds the firmwares around their memory map, their model and a grammar.
fn main() {
    nearfield_firmware_build::firmware("../../models/pocket.gguf");
    nearfield_firmware_build::grammar("../support/firmware/commands.gbnf", "../../models/pocket.gguf");
}
