//! Work spread over the machine's cores.

use std::sync::LazyLock;

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
use tokio::task::JoinError;

/// Cores this process may use. The answer is kept: asking reads the files of the control groups.
static CORES: LazyLock<usize> =
    LazyLock::new(|| std::thread::available_parallelism().map_or(1, usize::from));

/// Cores this process may use.
#[must_use]
pub fn count() -> usize {
    *CORES
}

/// Does the same to each item, on all cores, and gives what came of them in their order. A single item is not worth
/// a hand-over: it is done at once. Whoever asks, as many threads work as there are cores: each keeps memory of its own.
///
/// # Errors
/// `work` panicked. On a single item the panic goes on to the caller.
pub async fn each<T, R>(
    items: Vec<T>,
    work: impl Fn(T) -> R + Send + Sync + 'static,
) -> Result<Vec<R>, JoinError>
where
    T: Send + 'static,
    R: Send + 'static,
{
    if items.len() <= 1 {
        return Ok(items.into_iter().map(work).collect());
    }
    tokio::task::spawn_blocking(move || items.into_par_iter().map(work).collect()).await
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn a_panic_is_an_error_and_ends_nothing_else() {
        let odd = |number: i32| assert!(number % 2 == 1, "even");
        assert!(super::each(vec![1, 2, 3], odd).await.is_err());
        assert!(super::each(vec![1, 3], odd).await.is_ok());
    }

    #[tokio::test]
    async fn what_comes_of_each_is_in_their_order() {
        for many in [0, 1, 2, 3, 7, 100] {
            let doubled = super::each((0..many).collect(), |number| 2 * number).await.unwrap();
            assert_eq!(doubled, (0..many).map(|number| 2 * number).collect::<Vec<i32>>());
        }
    }
}
