//! The model as it lies in flash.

use nearfield::{MemoryPlan, Model, SessionConfig, Shape};

use crate::halt::Halt;
use crate::hash::checksum;

/// A model in flash, and what was known of it when the firmware was built.
#[derive(Clone, Copy, Debug)]
pub struct Image {
    /// The file's name.
    pub name: &'static str,
    /// The file, aligned to 64 bytes, read in place.
    pub gguf: &'static [u8],
    /// [`checksum`] of the file when the firmware was built.
    pub checksum: u32,
}

impl Image {
    /// The model, once its bytes were seen to be whole.
    ///
    /// # Errors
    /// [`Halt::Checksum`] when a bit of the flash has changed, [`Halt::Load`] when the file is no model that runs.
    pub fn model(&self) -> Result<Model<'static>, Halt> {
        let found = checksum(self.gguf);
        if found != self.checksum {
            return Err(Halt::Checksum { want: self.checksum, found });
        }
        Ok(Model::from_gguf(self.gguf)?)
    }
}

/// The memory of a model in a session, for a `const`: a model without a usable header, or a context that cannot be, does
/// not compile.
///
/// # Panics
/// At compile time, when used as meant.
pub const fn plan(gguf: &[u8], config: &SessionConfig) -> MemoryPlan {
    let shape = match Shape::from_bytes(gguf) {
        Ok(shape) => shape,
        Err(_) => panic!("the model has no usable GGUF header"),
    };
    match MemoryPlan::new(&shape, config) {
        Ok(plan) => plan,
        Err(_) => panic!("no plan can be made for this context"),
    }
}

/// The model of a firmware in a static of its own, and an [`Image`] of it.
///
/// `image!(NAME, PATH)`: the variable `NEARFIELD_CHECKSUM`, which the build script sets, is the file's checksum.
/// With `in SECTION` the file lies in that section of the image.
#[macro_export]
macro_rules! image {
    ($name:literal, $path:expr $(, in $section:literal)?) => {{
        const BYTES: &[u8] = include_bytes!($path);
        #[repr(C, align(64))]
        struct Aligned([u8; BYTES.len()]);
        $(#[unsafe(link_section = $section)])?
        static FILE: Aligned = Aligned(*include_bytes!($path));
        $crate::Image { name: $name, gguf: &FILE.0, checksum: $crate::hash::parse(env!("NEARFIELD_CHECKSUM")) }
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C, align(64))]
    struct Aligned([u8; include_bytes!("../../../models/pocket.gguf").len()]);
    static POCKET: Aligned = Aligned(*include_bytes!("../../../models/pocket.gguf"));

    #[test]
    fn a_damaged_image_is_refused() {
        let image = Image { name: "pocket.gguf", gguf: &POCKET.0, checksum: checksum(&POCKET.0) };
        assert!(image.model().is_ok());
        let want = image.checksum ^ 1;
        let error = Image { checksum: want, ..image }.model().unwrap_err();
        assert_eq!(error.code(), 2);
        assert!(matches!(error, Halt::Checksum { want: w, found } if w == want && found == image.checksum));
        let empty = Image { gguf: &[], checksum: checksum(&[]), ..image }.model().unwrap_err();
        assert_eq!(empty.code(), 3, "{empty}");
    }
}
