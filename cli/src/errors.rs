//! Errors of the library, with the flags that help.

use anyhow::Error;
use nearfield::{EncodeError, KvTypes, PlanError, PrefixError, RunError, SessionError};
use nearfield_host::model_file::ModelFile;

/// An error of running the model in `file`; where numbers are not finite, with the first weight that is not.
pub fn explain(file: &ModelFile, error: Error) -> Error {
    let of_host = error.downcast_ref().is_some_and(nearfield_host::Error::is_not_finite);
    let of_library = matches!(error.downcast_ref(), Some(RunError::NotFinite { .. }))
        || matches!(error.downcast_ref(), Some(EncodeError::NotFinite));
    if of_host || of_library { error.context(file.not_finite()) } else { error }
}

/// What an error of a session behind a stored text asks for on the command line.
pub fn of_snapshot(error: SessionError) -> Error {
    let flag = match &error {
        SessionError::Prefix(PrefixError::KvTypes { snapshot: KvTypes { keys, values }, .. }) => {
            if keys == values {
                format!("--kv {keys} goes on")
            } else {
                format!("--kv {keys},{values} goes on")
            }
        }
        SessionError::Prefix(PrefixError::HorizonEps { snapshot, .. }) => format!("--horizon-eps {snapshot:e} goes on"),
        SessionError::Prefix(PrefixError::AlibiBf16 { snapshot: true }) => "--alibi-bf16 goes on".into(),
        SessionError::Prefix(PrefixError::AlibiBf16 { snapshot: false }) => "without --alibi-bf16 it goes on".into(),
        SessionError::Prefix(PrefixError::Ring { .. }) => {
            "a shorter --ring goes on, or one stored with a longer".into()
        }
        SessionError::Prefix(PrefixError::Sinks { has, .. }) => format!("--sinks {has} goes on"),
        SessionError::Plan(PlanError::Prefix { .. }) => "--ctx N makes room".into(),
        _ => return error.into(),
    };
    Error::msg(format!("{error}: {flag}"))
}
