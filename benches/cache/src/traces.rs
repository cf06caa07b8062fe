//! What is asked: names by number, and the shapes of traces that caches are compared by.

/// Different names.
pub const KEYS: usize = 1_000_000;

pub struct Random(pub u64);

pub fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }
}

/// Draws by the alias method.
pub struct Zipf(Vec<(f32, u32)>);

impl Zipf {
    pub fn new(keys: usize, exponent: f64) -> (Zipf, Vec<f64>) {
        let weights: Vec<f64> = (1..=keys).map(|rank| (rank as f64).powf(-exponent)).collect();
        let sum: f64 = weights.iter().sum();
        let chances: Vec<f64> = weights.iter().map(|weight| weight / sum).collect();
        let mut left: Vec<f64> = chances.iter().map(|chance| chance * keys as f64).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..keys).partition(|at| left[*at] < 1.0);
        let mut table = vec![(1.0, 0); keys];
        while let (Some(low), Some(&high)) = (small.pop(), large.last()) {
            table[low] = (left[low] as f32, high as u32);
            left[high] -= 1.0 - left[low];
            if left[high] < 1.0 {
                large.pop();
                small.push(high);
            }
        }
        (Zipf(table), chances)
    }

    pub fn draw(&self, random: &mut Random) -> u32 {
        let x = random.next();
        let at = ((x as u32 as u64 * self.0.len() as u64) >> 32) as usize;
        let unit = (x >> 32) as f32 / 4_294_967_296.0;
        if unit < self.0[at].0 { at as u32 } else { self.0[at].1 }
    }

    pub fn trace(&self, seed: u64, length: usize) -> Vec<u32> {
        let mut random = Random(seed);
        (0..length).map(|_| self.draw(&mut random)).collect()
    }
}

pub struct Name(pub [u8; 25]);

impl Name {
    #[inline]
    pub fn of(key: u32) -> Name {
        let mut text = *b"88.118.1/0000000000000000";
        let mut bits = u64::from(key).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for letter in &mut text[9..] {
            *letter = b"0123456789abcdef"[(bits & 15) as usize];
            bits >>= 4;
        }
        Name(text)
    }

    #[inline]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap()
    }
}
