//! `mode = "reply"`: one program that runs on and answers every item, in order.
//!
//! Several items may be on their way at once, as many as the program answers in a moment ([`window`]), and each answer
//! is that of the oldest that has none. A program that speaks `framing = "mprun"` can say that an item failed; any
//! other tells a failure only by its death, and then whose it was ([`attribution`]).
//!
//! | what dies | while | what follows |
//! |---|---|---|
//! | the program | it has read nothing of the unanswered items | they go back as they were: it failed by itself |
//! | | it has read one of them | this one is charged; a fresh program is started |
//! | | it has read several | they go back as they were; the fresh program gets them one by one |
//! | | no program of this worker has answered anything | see [`trial`] |
//! | | there is no item, and none to come | no fresh one is started: this worker is done |
//! | the worker | one item is unanswered | the supervisor charges it, and gives it back |
//! | | several are | they go back as they were; a fresh worker begins one by one anyway |
//! | the worker | answers are read, not published | the items go back, and are answered anew |
//! | the worker | after the commit | the items are done |

mod attribution;
mod exchange;
mod intake;
mod replies;
mod serve;
mod trial;
mod window;

pub(crate) use serve::serve;
