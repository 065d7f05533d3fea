//! `fieldgate demo` and `fieldgate run`, started as a person starts them, asked over sockets.

#[cfg(test)]
mod demo;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod run;
