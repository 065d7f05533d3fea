//! The program as a shell sees it: help, exit codes, output.

#[cfg(test)]
mod audit;
#[cfg(test)]
mod check;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod help;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod mask;
#[cfg(test)]
mod score;
#[cfg(test)]
mod start;
#[cfg(test)]
mod workflows;
