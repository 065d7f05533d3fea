//! The demo CRM over a real socket, as a client without Fieldgate sees it.

#[cfg(test)]
mod accounts;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod protocol;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod writing;
