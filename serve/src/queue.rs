//! Bounded queue of jobs for the thread of a model.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};

/// Reason why a job cannot wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The queue has no room.
    Full,
    /// The thread takes no more jobs.
    Closed,
}

/// Queue of jobs, first come, first served.
#[derive(Debug)]
pub struct Queue<J> {
    state: Mutex<State<J>>,
    changed: Condvar,
    n_most: usize,
    /// True for a job that nobody waits for any more.
    is_gone: fn(&J) -> bool,
}

#[derive(Debug)]
struct State<J> {
    jobs: VecDeque<J>,
    is_closed: bool,
}

impl<J> Queue<J> {
    /// Queue for `n_most` jobs. Jobs that `is_gone` calls true are dropped.
    pub fn new(n_most: usize, is_gone: fn(&J) -> bool) -> Self {
        let state = Mutex::new(State { jobs: VecDeque::new(), is_closed: false });
        Self { state, changed: Condvar::new(), n_most, is_gone }
    }

    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// Number of jobs that wait.
    pub fn len(&self) -> usize {
        self.lock().jobs.len()
    }

    /// Adds jobs, all or none of them. More than the queue holds are taken if none waits.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn push(&self, jobs: Vec<J>) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(Refused::Closed);
        }
        if state.jobs.len() + jobs.len() > self.n_most {
            state.jobs.retain(|job| !(self.is_gone)(job));
        }
        if !state.jobs.is_empty() && state.jobs.len() + jobs.len() > self.n_most {
            return Err(Refused::Full);
        }
        state.jobs.extend(jobs);
        self.changed.notify_all();
        Ok(())
    }

    /// Takes the oldest job that somebody waits for, if there is one.
    pub fn try_pop(&self) -> Option<J> {
        Self::next(&mut self.lock().jobs, self.is_gone)
    }

    /// Takes the oldest job, waiting for one; `None` once the queue is closed and empty.
    pub fn pop(&self) -> Option<J> {
        let mut state = self.lock();
        loop {
            if let Some(job) = Self::next(&mut state.jobs, self.is_gone) {
                return Some(job);
            }
            if state.is_closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(|broken| broken.into_inner());
        }
    }

    /// Takes all jobs of which `is_due` is true.
    pub fn take(&self, is_due: impl Fn(&J) -> bool) -> Vec<J> {
        let mut state = self.lock();
        if !state.jobs.iter().any(&is_due) {
            return vec![];
        }
        let (due, rest): (Vec<J>, Vec<J>) = std::mem::take(&mut state.jobs).into_iter().partition(is_due);
        state.jobs = rest.into();
        due
    }

    fn next(jobs: &mut VecDeque<J>, is_gone: fn(&J) -> bool) -> Option<J> {
        while let Some(job) = jobs.pop_front() {
            if !is_gone(&job) {
                return Some(job);
            }
        }
        None
    }

    /// Refuses jobs from now on. Those that wait are still taken.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// True once jobs are refused.
    pub fn is_closed(&self) -> bool {
        self.lock().is_closed
    }
}

/// End of the thread that takes the jobs, in order or by a panic: the queue is closed, and jobs that wait are dropped.
#[derive(Debug)]
pub struct Closing<'q, J>(pub &'q Queue<J>);

impl<J> Drop for Closing<'_, J> {
    fn drop(&mut self) {
        self.0.close();
        drop(self.0.take(|_| true));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_refuses_jobs_until_some_are_gone() {
        // A job above 99 is gone.
        let queue = Queue::new(3, |job| *job > 99);
        assert_eq!(queue.push(vec![1, 100]), Ok(()));
        assert_eq!(queue.push(vec![2, 3]), Ok(()), "the place of the one that is gone");
        assert_eq!((queue.push(vec![4]), queue.len()), (Err(Refused::Full), 3));
        assert_eq!([queue.pop(), queue.try_pop(), queue.try_pop(), queue.try_pop()], [Some(1), Some(2), Some(3), None]);
        assert_eq!(queue.push(vec![5, 6, 7]), Ok(()));
        assert_eq!((queue.take(|job| job % 2 == 1), queue.take(|job| *job > 6)), (vec![5, 7], vec![]));
        assert_eq!(queue.try_pop(), Some(6));
        assert_eq!(queue.push(vec![1, 2, 3, 4]), Ok(()), "a request of many texts is not refused for ever");
        queue.close();
        assert_eq!(queue.push(vec![5]), Err(Refused::Closed));
        assert!(queue.is_closed());
        assert_eq!([(); 5].map(|()| queue.pop()), [Some(1), Some(2), Some(3), Some(4), None]);
    }

    #[test]
    fn a_thread_that_panics_leaves_no_job() {
        let queue = Queue::new(3, |_: &u32| false);
        queue.push(vec![1, 2]).unwrap();
        let thread = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    let _closing = Closing(&queue);
                    assert_eq!(queue.pop(), None, "this fails");
                })
                .join()
        });
        assert!(thread.is_err() && queue.is_closed() && queue.try_pop().is_none());
    }
}
