//! Outcome of a call: a value, or the promise that was not kept.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

/// Promises that the functions check, in the words of their panics.
const PROMISES: [&str; 25] = [
    "Q8 activations go with quantized weights, F32 ones with F32, F16 and BF16",
    "Q8_0 and Q4_0 keys go with a Q8 query, F32 and F16 keys with an F32 one",
    "a block for each 32 columns",
    "a block of up to 32 keys, of which each walk sees some",
    "a buffer of whole rows",
    "a number of 32 bits",
    "a query of the keys' width, a column at least",
    "a row of activations for each token",
    "a row of the buffer",
    "a row of the matrix's width",
    "as many activations as weights",
    "as many rows as are spoken of, of the head's width",
    "at most 32 columns",
    "blocks of a row",
    "blocks of the matrix's type",
    "columns of the buffer",
    "not a whole number of blocks",
    "one row of as many columns",
    "rows of the matrix",
    "rows that lie one after the other",
    "sixteen rows of whole blocks",
    "something to pick from",
    "tiles of at least a column",
    "values of one block",
    "vectors of one length",
];

thread_local! {
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Returns the value of a call, or the promise that was not kept.
///
/// # Panics
/// When the call panics with anything else.
pub fn outcome<R>(call: impl FnOnce() -> R) -> Result<R, &'static str> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let hook = take_hook();
        set_hook(Box::new(move |info| {
            if !EXPECTED.get() {
                hook(info);
            }
        }));
    });
    EXPECTED.set(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    EXPECTED.set(false);
    result.map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or(payload.downcast_ref::<&str>().copied()).expect("a text");
        let promise = PROMISES.into_iter().find(|&promise| promise == text);
        promise.unwrap_or_else(|| panic!("a panic that says nothing of a promise: {text}"))
    })
}

/// Asserts that the call failed exactly if a promise was broken (`kept` is false).
#[track_caller]
pub fn assert_kept<R>(result: Result<R, &'static str>, kept: bool, what: impl std::fmt::Debug) -> Option<R> {
    assert_eq!(result.as_ref().err().is_none(), kept, "{what:?}: {:?}", result.as_ref().err());
    result.ok()
}

/// Seed of a case, printed if the case fails.
pub struct Named(pub u64);

impl Named {
    pub fn passed(self) {
        std::mem::forget(self);
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        eprintln!("seed {}", self.0);
    }
}
