//! demo
use super::Failure;
#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {}
pub(super) fn demo(_args: &DemoArgs) -> Result<(), Failure> {
    Ok(())
}
