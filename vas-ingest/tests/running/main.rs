//! The real program while it runs: what it tells of itself, and what it can be told.

mod logs;
mod missing;
mod notify;
mod reload;
mod rivals;
mod scene;
mod status;
