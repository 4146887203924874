//! Start and end of the thread of a model.

use std::sync::{Arc, mpsc};
use std::thread;

use nearfield_host::{Error, Result};

use crate::queue::{Closing, Queue};

/// Starts a thread that does the jobs of `queue`, and waits until it takes them. The queue is closed when the thread ends, in order
/// or by a panic.
///
/// - `run`: work of the thread, which calls its argument once it takes jobs
///
/// # Errors
/// Errors of `run` before it takes jobs.
pub fn start<J: Send + 'static>(
    queue: Arc<Queue<J>>,
    run: impl FnOnce(&dyn Fn()) -> Result<()> + Send + 'static,
) -> Result<()> {
    let (tell, told) = mpsc::channel();
    thread::Builder::new().name("model".into()).spawn(move || {
        let _closing = Closing(&queue);
        // Nobody listens any more once the thread takes jobs.
        let ready = || {
            let _ = tell.send(Ok(()));
        };
        if let Err(error) = run(&ready) {
            let _ = tell.send(Err(error));
        }
    })?;
    told.recv().unwrap_or_else(|_| Err(Error::invalid("the thread of the model ended")))
}
