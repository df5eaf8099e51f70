mod faults;
mod machine;
pub(crate) mod model;
mod pairs;
mod place;
