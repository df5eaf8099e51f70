mod faults;
mod machine;
mod model;
mod pairs;
