//! One reading of the store for all who miss the same name at the same time.
//!
//! The first who asks leads: it reads the store, fills the cache and lands. Who asks meanwhile follows: waits for what the leader
//! lands with, for a bounded time, on a thread ([`Follower::wait`]) or as a future. A leader that is dropped without landing
//! (an error, a panic, a cancelled task) releases its followers with nothing, and each asks for itself.
//!
//! Invariant **FLIGHT**: who follows began when the name's stamp was the leader's. So the leader's answer has in it all that was
//! acknowledged before the follower asked, as if the follower had read the store itself. Who asks after a commit takes the lead.
//!
//! Misses only; there are locks here, one for each part of the names, held for a look at a short list and never while anybody
//! waits, reads or is waked. No more flights than [`MOST_FLIGHTS`] a part: who comes then reads for itself.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::generation::Stamp;

const PARTS: usize = 64;
const MOST_FLIGHTS: usize = 64;
/// Followers of one flight; who comes then reads for itself.
const MOST_FOLLOWERS: usize = 1024;

/// The flights of some of the names.
type Part<A> = Mutex<VecDeque<Arc<Flight<A>>>>;

pub struct Flights<A> {
    parts: Box<[Part<A>]>,
}

struct Flight<A> {
    hash: u64,
    class: u8,
    name: Box<[u8]>,
    stamp: Stamp,
    state: Mutex<State<A>>,
    landed: Condvar,
}

struct State<A> {
    /// Outside: still in the air. Inside: what it landed with.
    landing: Option<Option<A>>,
    followers: usize,
    wakers: Vec<Waker>,
}

/// A flight and the list that it is on.
type Led<A> = (Arc<Flights<A>>, Arc<Flight<A>>);

/// What somebody who missed is to do.
pub enum Role<A> {
    Lead(Leader<A>),
    Follow(Follower<A>),
}

/// The one who reads the store. Dropped without landing, it releases its followers.
pub struct Leader<A> {
    /// `None`: one who reads for itself.
    leads: Option<Led<A>>,
}

/// One who waits for the leader's answer. As a future it is ready with `None` when the leader failed; bound it with a timer.
pub struct Follower<A> {
    flight: Arc<Flight<A>>,
}

/// A lock whose holder panicked protects nothing that could be half done here.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<A: Clone> Flights<A> {
    pub fn new() -> Flights<A> {
        Flights { parts: (0..PARTS).map(|_| Mutex::new(VecDeque::new())).collect() }
    }

    fn part(&self, hash: u64) -> &Part<A> {
        &self.parts[(hash >> 32) as usize % PARTS]
    }

    /// Joins the flight for a name or begins one. `stamp` was taken just now.
    pub fn join(self: &Arc<Self>, hash: u64, class: u8, name: &[u8], stamp: Stamp) -> Role<A> {
        let mut part = locked(self.part(hash));
        if let Some(at) = part.iter().position(|flight| flight.is_of(hash, class, name)) {
            let flight = Arc::clone(&part[at]);
            // FLIGHT
            if flight.stamp == stamp {
                let mut state = locked(&flight.state);
                if state.landing.is_none() && state.followers < MOST_FOLLOWERS {
                    state.followers += 1;
                    drop(state);
                    return Role::Follow(Follower { flight });
                }
                return Role::Lead(Leader { leads: None });
            }
            part.remove(at);
        }
        if part.len() >= MOST_FLIGHTS {
            return Role::Lead(Leader { leads: None });
        }
        let state = State { landing: None, followers: 0, wakers: Vec::new() };
        let flight = Arc::new(Flight {
            hash,
            class,
            name: name.into(),
            stamp,
            state: Mutex::new(state),
            landed: Condvar::new(),
        });
        part.push_back(Arc::clone(&flight));
        Role::Lead(Leader { leads: Some((Arc::clone(self), flight)) })
    }
}

impl<A> Flight<A> {
    fn is_of(&self, hash: u64, class: u8, name: &[u8]) -> bool {
        self.hash == hash && self.class == class && *self.name == *name
    }
}

impl<A: Clone> Leader<A> {
    /// Ends the flight: all followers have the answer.
    pub fn land(mut self, answer: &A) {
        self.end(Some(answer));
    }
}

impl<A> Leader<A> {
    fn end(&mut self, answer: Option<&A>)
    where
        A: Clone,
    {
        let Some((flights, flight)) = self.leads.take() else { return };
        flights.close(&flight, answer.cloned());
    }
}

impl<A> Flights<A> {
    fn close(&self, flight: &Arc<Flight<A>>, answer: Option<A>) {
        let part = &self.parts[(flight.hash >> 32) as usize % PARTS];
        // First out of the list, so that nobody joins what has landed.
        locked(part).retain(|other| !Arc::ptr_eq(other, flight));
        let wakers = {
            let mut state = locked(&flight.state);
            state.landing = Some(answer);
            std::mem::take(&mut state.wakers)
        };
        flight.landed.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl<A> Drop for Leader<A> {
    fn drop(&mut self) {
        if let Some((flights, flight)) = self.leads.take() {
            flights.close(&flight, None);
        }
    }
}

impl<A: Clone> Follower<A> {
    /// Waits on this thread. `None`: the leader failed, or took longer; ask for yourself.
    pub fn wait(self, most: Duration) -> Option<A> {
        let until = Instant::now() + most;
        let mut state = locked(&self.flight.state);
        while state.landing.is_none() {
            let left = until.checked_duration_since(Instant::now())?;
            state = self.flight.landed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.landing.clone().flatten()
    }
}

impl<A: Clone> Future for Follower<A> {
    type Output = Option<A>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<A>> {
        let mut state = locked(&self.flight.state);
        if let Some(landing) = &state.landing {
            return Poll::Ready(landing.clone());
        }
        if !state.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            state.wakers.push(context.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::super::generation::Generations;
    use super::*;
    use std::thread;

    fn flights() -> (Arc<Flights<u32>>, Generations) {
        (Arc::new(Flights::new()), Generations::new(16))
    }

    fn lead(role: Role<u32>) -> Leader<u32> {
        match role {
            Role::Lead(leader) => leader,
            Role::Follow(_) => panic!("was to lead"),
        }
    }

    fn follow(role: Role<u32>) -> Follower<u32> {
        match role {
            Role::Follow(follower) => follower,
            Role::Lead(_) => panic!("was to follow"),
        }
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn followers_get_what_the_leader_lands_with() {
        let (flights, generations) = flights();
        let leader = lead(flights.join(1, 0, b"a", generations.begin(1, 0)));
        let followers: Vec<_> = (0..4).map(|_| follow(flights.join(1, 0, b"a", generations.begin(1, 0)))).collect();
        let threads: Vec<_> = followers.into_iter().map(|one| thread::spawn(move || one.wait(LONG))).collect();
        leader.land(&7);
        assert!(threads.into_iter().all(|thread| thread.join().unwrap() == Some(7)));
        lead(flights.join(1, 0, b"a", generations.begin(1, 0)));
    }

    #[test]
    fn a_leader_that_panics_releases_its_followers() {
        let (flights, generations) = flights();
        let leader = lead(flights.join(1, 0, b"a", generations.begin(1, 0)));
        let follower = follow(flights.join(1, 0, b"a", generations.begin(1, 0)));
        let died = thread::spawn(move || {
            let _leader = leader;
            std::panic::resume_unwind(Box::new("it died"));
        });
        assert_eq!(follower.wait(LONG), None);
        assert!(died.join().is_err());
    }

    #[test]
    fn a_follower_waits_no_longer_than_it_says() {
        let (flights, generations) = flights();
        let _leader = lead(flights.join(1, 0, b"a", generations.begin(1, 0)));
        let follower = follow(flights.join(1, 0, b"a", generations.begin(1, 0)));
        assert_eq!(follower.wait(Duration::from_millis(5)), None);
    }

    #[test]
    fn who_asks_after_a_commit_does_not_follow_who_asked_before() {
        let (flights, generations) = flights();
        let before = lead(flights.join(1, 0, b"a", generations.begin(1, 0)));
        generations.raise(1);
        let after = lead(flights.join(1, 0, b"a", generations.begin(1, 0)));
        let follower = follow(flights.join(1, 0, b"a", generations.begin(1, 0)));
        before.land(&1);
        after.land(&2);
        assert_eq!(follower.wait(LONG), Some(2));
    }

    #[test]
    fn a_follower_is_a_future() {
        let (flights, generations) = flights();
        let leader = lead(flights.join(1, 0, b"a", generations.begin(1, 0)));
        let mut follower = follow(flights.join(1, 0, b"a", generations.begin(1, 0)));
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(Pin::new(&mut follower).poll(&mut context), Poll::Pending);
        drop(leader);
        assert_eq!(Pin::new(&mut follower).poll(&mut context), Poll::Ready(None));
    }
}
