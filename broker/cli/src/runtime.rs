//! The event loop of a command: one thread, which is enough for a client. `broker bench` starts one
//! such loop per thread it uses.

use crate::failure::Failure;

/// Runs a command's future to its end.
pub(crate) fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime =
        runtime.map_err(|error| Failure::from(error).after("cannot make an event loop"))?;
    runtime.block_on(command)
}

/// Completes when Ctrl-C is pressed. When signals cannot be watched, never.
pub(crate) async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
