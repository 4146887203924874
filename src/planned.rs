//! Results of steps that cannot fail as long as the memory is what the plan says.

/// `Some`, or `None` where some memory is shorter than the plan says.
///
/// `None` cannot happen: lengths come from [`plan`](crate::plan) alone. Code checks them all the same, since a slice that
/// is taken without a check may panic. A session then returns [`RunError::Broken`](crate::RunError::Broken), an encoder
/// [`DocumentError::Broken`](crate::DocumentError::Broken): a bug of this library, and no error of its input. An `Option` of any other
/// name can be `None`.
pub(crate) type Planned<T = ()> = Option<T>;
