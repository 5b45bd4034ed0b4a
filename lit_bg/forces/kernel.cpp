// Energies and forces of molecules in closed form, several configurations side by side in each vector register.
//
// The formulae are those of the docstrings in nonbonded.py, born.py, harmonic.py and torsion.py, the derivatives those of
// their closed forms in torch, against which kernel.py is tested. A configuration fills one lane of a vector, so nothing here
// asks for a transposition, a gather or a mask of neighbours, and a group of configurations never leaves the cache.
//
// Plain C++17 with vector extensions (g++ and clang), and no header of torch: it compiles in seconds. Floating-point rules are
// those of the standard (no -ffast-math): a NaN stays one.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <exception>
#include <thread>
#include <vector>
#if defined(__AVX__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
constexpr int BYTES = 64;
#elif defined(__AVX__)
constexpr int BYTES = 32;
#else
constexpr int BYTES = 16;
#endif
constexpr double FLAT = 1e-16;  // |u x v| [nm^2] of an angle that is straight, which has no direction to bend to (bonded.py)
constexpr int TILE = 64;  // atoms by atoms whose pairs are taken together: they stay in the innermost cache
constexpr int64_t MOST_STORED = 1 << 20;  // bytes of slopes that are kept for the last pass: more of them are computed twice

// ---------------------------------------------------------------------------------------------------------------- vectors

template <class T> struct Vectors;
template <> struct Vectors<float> {
  typedef float Real __attribute__((vector_size(BYTES)));
  typedef int32_t Integer __attribute__((vector_size(BYTES)));
  static constexpr int digits = 23, exp_terms = 7, atan_terms = 6;
  static constexpr int32_t one = 0x3f800000;       // the bits of 1
  static constexpr float shifter = 12582912.0f;    // 1.5 * 2^23: adding it rounds to an integer, in the last bits
  static constexpr float lowest = -60.0f, highest = 60.0f;
  static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
};
template <> struct Vectors<double> {
  typedef double Real __attribute__((vector_size(BYTES)));
  typedef int64_t Integer __attribute__((vector_size(BYTES)));
  static constexpr int digits = 52, exp_terms = 13, atan_terms = 12;
  static constexpr int64_t one = 0x3ff0000000000000;
  static constexpr double shifter = 6755399441055744.0;
  static constexpr double lowest = -500.0, highest = 500.0;
  static constexpr double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
};

template <class V> inline V square_root(V x) {
  for (unsigned lane = 0; lane < sizeof(V) / sizeof(x[0]); ++lane) x[lane] = std::sqrt(x[lane]);
  return x;
}
#if defined(__AVX512F__)
template <> inline Vectors<float>::Real square_root(Vectors<float>::Real x) { return _mm512_sqrt_ps(x); }
template <> inline Vectors<double>::Real square_root(Vectors<double>::Real x) { return _mm512_sqrt_pd(x); }
#elif defined(__AVX__)
template <> inline Vectors<float>::Real square_root(Vectors<float>::Real x) { return _mm256_sqrt_ps(x); }
template <> inline Vectors<double>::Real square_root(Vectors<double>::Real x) { return _mm256_sqrt_pd(x); }
#endif

template <class V> inline V natural_logarithm(V x) {  // lane by lane: slow
  for (unsigned lane = 0; lane < sizeof(V) / sizeof(x[0]); ++lane) x[lane] = std::log(x[lane]);
  return x;
}

template <class V> struct Three {
  V x, y, z;
  Three operator-(const Three& b) const { return {x - b.x, y - b.y, z - b.z}; }
  void operator+=(const Three& b) { x += b.x, y += b.y, z += b.z; }
  void operator-=(const Three& b) { x -= b.x, y -= b.y, z -= b.z; }
  friend Three operator*(V s, const Three& a) { return {s * a.x, s * a.y, s * a.z}; }
};
template <class V> inline V dot(const Three<V>& a, const Three<V>& b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
template <class V> inline Three<V> cross(const Three<V>& a, const Three<V>& b) {
  return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}

// ------------------------------------------------------------------------------------------------------------- parameters

// Mirrors `Parameters` in kernel.py, member by member. Pairs run over i, and for each over j > i.
template <class T> struct Parameters {
  int64_t atoms, has_pairs, has_born, bonds, angles, torsions, apart, series_terms, periodic, apart_images, swallows, saturates;
  // Nonbonded: squared cutoff (infinite: none), reaction field, switching distance, the inverse of its range
  double constant;                                                 // energy that no configuration changes
  double cutoff2, k_rf, c_rf, switch_start, switch_inverse, born_cutoff2, born_shift;
  double box[6];                                                   // xx, yx, yy, zx, zy, zz
  const T* pair;                                                   // (P, 4) qq, c6, c12; qq of generalised Born
  const T* neck;                                                   // null, or (P, 5) reach; m, d of the first, of the second
  const T *reduced, *scaled, *radius, *alpha, *beta, *gamma, *self, *surface;  // (N)
  const T* series;                                                 // of artanh(t) / t in t^2; without terms: none is short
  const int32_t* apart_atoms; const T* apart_terms;                // (E, 2), (E, 3) qq, c6, c12 without cutoff
  const int32_t* bond_atoms; const T* bond_terms;                  // (M, 2), (M, 2) length, k
  const int32_t* angle_atoms; const T* angle_terms;                // (M, 3), (M, 2) angle, k
  const int32_t* torsion_atoms; const T* torsion_terms;            // (M, 5) atoms, highest n; (M, 12) a_1 ... a_6, b_1 ... b_6
};

// ---------------------------------------------------------------------------------------------------------------- a group

template <class T, bool CUT> class Group {
  typedef Vectors<T> Of;
  typedef typename Of::Real V;
  typedef Three<V> V3;

 public:
  static constexpr int LANES = sizeof(V) / sizeof(T);

  Group(const Parameters<T>& parameters, bool with_forces)
      : p(parameters), with_forces(with_forces), n(p.atoms), x(n), f(n), f_tile(n) {
    if (!p.has_born) return;
    for (auto* of_atoms : {&sum, &inverse, &born, &slope, &pull, &tile}) of_atoms->resize(n);
    const int64_t ordered_pairs = int64_t(n) * (n - 1);
    if (with_forces && ordered_pairs * BYTES <= MOST_STORED) slopes.resize(ordered_pairs);
  }

  // Energies of up to LANES configurations, and their forces; where one is no finite number, +inf and zero.
  void evaluate(const T* positions, int count, double per_energy, T per_force, double* energy, T* forces) {
    T* to = reinterpret_cast<T*>(x.data());
    for (int lane = 0; lane < LANES; ++lane) {  // lanes too many repeat the last configuration
      const T* row = positions + size_t(std::min(lane, count - 1)) * 3 * n;
      for (int k = 0; k < 3 * n; ++k) to[k * LANES + lane] = row[k];
    }
    std::fill(f.begin(), f.end(), V3{});
    std::fill(total, total + LANES, 0.0);
    if (p.has_born) find_overlaps(), find_radii();
    if (p.has_pairs || p.has_born) add_pairs();
    if (p.has_born && with_forces) add_chain();
    add_apart(), add_bonds(), add_angles(), add_torsions();
    V wrong{};  // NaN where a coordinate, or a force, is not finite
    for (const V3& position : x) wrong += 0 * position.x + 0 * position.y + 0 * position.z;
    for (int i = 0; with_forces && i < n; ++i) wrong += 0 * f[i].x + 0 * f[i].y + 0 * f[i].z;
    const T* from = reinterpret_cast<const T*>(f.data());
    for (int lane = 0; lane < count; ++lane) {
      const bool fine = std::isfinite(total[lane]) && wrong[lane] == 0;
      energy[lane] = fine ? per_energy * (total[lane] + p.constant) : INFINITY;
      if (!with_forces) continue;
      for (int k = 0; k < 3 * n; ++k) forces[size_t(lane) * 3 * n + k] = fine ? per_force * from[k * LANES + lane] : 0;
    }
  }

 private:
  const Parameters<T>& p;
  const bool with_forces;
  const int n;
  std::vector<V3> x, f, f_tile;
  // Of atoms: sums of overlaps; 1 / B and B; dE/dI; the solvation's B dE/dB; sums of a tile. Of pairs: (dI/dr) / r, either way
  std::vector<V> sum, inverse, born, slope, pull, tile, slopes;
  double total[LANES];

  void add(V energy) {  // what comes of a row of a tile, or a term, is summed in double precision
    for (int lane = 0; lane < LANES; ++lane) total[lane] += energy[lane];
  }
  static V all(T value) { return V{} + value; }
  static V rounded(V a) { return (a + Of::shifter) - Of::shifter; }

  // 2^n times a Taylor series on |r| < ln(2) / 2. Below `lowest` it stays at 1e-26 (1e-217): products of smaller numbers are
  // no normal numbers any more, on which a processor takes a hundred times as long.
  static V exponential(V a) {
    a = a > Of::lowest ? a : (a == a ? all(Of::lowest) : a);
    V shifted = a * T(1.4426950408889634074) + Of::shifter, n = shifted - Of::shifter;
    V r = (a - n * Of::ln2_high) - n * Of::ln2_low, series = all(1);
    for (int k = Of::exp_terms; k > 0; --k) series = 1 + series * r * (T(1) / k);
    typename Of::Integer bits;
    std::memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << Of::digits) + Of::one;
    V power;
    std::memcpy(&power, &bits, sizeof bits);
    return series * power;
  }

  static V arctangent(V c, V s) {  // of s / c for s >= 0, in [0, pi]: two halvings of the angle, then a Taylor series
    V a = c < 0 ? -c : c, t = (a > s ? s : a) / (a > s ? a : s);
    t = t / (1 + square_root(1 + t * t));
    t = t / (1 + square_root(1 + t * t));
    V z = -t * t, series = V{};
    for (int k = Of::atan_terms; k >= 0; --k) series = series * z + T(1) / (2 * k + 1);
    V angle = 4 * t * series;
    angle = a > s ? angle : T(M_PI / 2) - angle;
    return c < 0 ? T(M_PI) - angle : angle;
  }

  V3 difference(int i, int j) const {
    V3 d = x[i] - x[j];
    if (CUT && p.periodic) {
      V k = rounded(d.z * T(1 / p.box[5]));
      d.x -= k * T(p.box[3]), d.y -= k * T(p.box[4]), d.z -= k * T(p.box[5]);
      k = rounded(d.y * T(1 / p.box[2]));
      d.x -= k * T(p.box[1]), d.y -= k * T(p.box[2]);
      d.x -= rounded(d.x * T(1 / p.box[0])) * T(p.box[0]);
    }
    return d;
  }

  // Twice what the sphere `scaled` at distance r takes from the integral of the sphere `reduced`, and its derivative over r.
  void overlap(V r, V inverse_r, T reduced, T scaled, V& integral, V& slope_r) const {
    V upper = r + scaled, apart = r - scaled;
    apart = apart < 0 ? -apart : apart;
    V lower = apart > reduced ? apart : all(reduced);
    V both = upper + lower, product = upper * lower, w = 1 / (product * both);  // one division for three reciprocals
    V inverse_lower = w * upper * both, inverse_upper = w * lower * both, t = (upper - lower) * (w * product);
    V logarithm;  // ln(lower / upper) / 2r
    if (p.series_terms) {
      V z = t * t, series = all(p.series[p.series_terms - 1]);
      for (int k = int(p.series_terms) - 2; k >= 0; --k) series = series * z + p.series[k];
      logarithm = -t * series * inverse_r;
    } else {
      logarithm = T(0.5) * natural_logarithm(lower * inverse_upper) * inverse_r;
    }
    V squares = T(0.25) * (inverse_upper - inverse_lower) * (inverse_upper + inverse_lower), s = scaled * inverse_r;
    V value = inverse_lower - inverse_upper + (r - scaled * s) * squares + logarithm;
    V slope_of = ((1 + s * s) * squares - logarithm * inverse_r) * inverse_r;
    if (p.swallows)
      value += r < scaled - reduced ? 2 * (1 / reduced - inverse_lower) : V{};
    else
      slope_of += r < scaled - reduced ? 2 * inverse_lower * inverse_lower * inverse_r : V{};
    integral = upper > reduced ? value : V{};
    slope_r = upper > reduced ? slope_of : V{};
  }

  static void neck(V r, V inverse_r, T reach, T m, T d, V& integral, V& slope_r) {
    V a = r - d, a2 = a * a, value = m / (1 + a2 * (100 + T(3e5) * a2 * a2));
    V slope_of = -value * value * (1 / m) * a * (200 + T(1.8e6) * a2 * a2) * inverse_r;
    integral += r <= reach ? value : V{};
    slope_r += r <= reach ? slope_of : V{};
  }

  // Every pair once, i < j, in tiles: `row(i, from, to)` for pairs of i with from <= j < to, `finish(start, stop)` after the
  // rows of a tile. What belongs to j is summed per tile, what belongs to i per row: no sum in T has many more than TILE terms.
  template <class Row, class Finish> void over_tiles(Row row, Finish finish) const {
    for (int first = 0; first < n; first += TILE)
      for (int start = first; start < n; start += TILE) {
        const int stop = std::min(n, start + TILE);
        for (int i = first; i < std::min(n, first + TILE); ++i) row(i, std::max(i + 1, start), stop);
        finish(start, stop);
      }
  }
  size_t place(int i, int j) const { return size_t(i) * (2 * n - i - 1) / 2 + (j - i - 1); }  // of a pair in the tables

  void finish_sums(std::vector<V>& sums, int start, int stop) {
    for (int j = start; j < stop; ++j) sums[j] += tile[j], tile[j] = V{};
  }
  void finish_forces(int start, int stop) {
    for (int j = start; j < stop; ++j) f[j] -= f_tile[j], f_tile[j] = V3{};
  }

  // What two atoms take from each other, and the slopes.
  void meet(int i, int j, V r2, V& first, V& second, V& slope_first, V& slope_second) const {
    V r = square_root(r2), inverse_r = 1 / r;
    overlap(r, inverse_r, p.reduced[i], p.scaled[j], first, slope_first);
    overlap(r, inverse_r, p.reduced[j], p.scaled[i], second, slope_second);
    if (p.neck) {
      const T* of_pair = p.neck + 5 * place(i, j);
      if (of_pair[1] != 0) neck(r, inverse_r, of_pair[0], of_pair[1], of_pair[2], first, slope_first);
      if (of_pair[3] != 0) neck(r, inverse_r, of_pair[0], of_pair[3], of_pair[4], second, slope_second);
    }
    if (CUT) {
      auto near = r2 < T(p.born_cutoff2);
      first = near ? first : V{}, second = near ? second : V{};
      slope_first = near ? slope_first : V{}, slope_second = near ? slope_second : V{};
    }
  }

  void find_overlaps() {
    std::fill(sum.begin(), sum.end(), V{});
    over_tiles(
        [&](int i, int from, int to) {
          V of_i{};
          for (int j = from; j < to; ++j) {
            V3 d = difference(i, j);
            V first, second, slope_first, slope_second;
            meet(i, j, dot(d, d), first, second, slope_first, slope_second);
            of_i += first, tile[j] += second;
            if (slopes.empty()) continue;
            V* store = &slopes[2 * place(i, j)];
            store[0] = slope_first, store[1] = slope_second;
          }
          sum[i] += of_i;
        },
        [&](int start, int stop) { finish_sums(sum, start, stop); });
  }

  void find_radii() {  // leaves in `sum` the solvation's dE/d(1/B) without pairs, in `slope` d(1/B)/dI
    for (int i = 0; i < n; ++i) {
      T half = T(0.5) * p.reduced[i], a = p.alpha[i], b = p.beta[i], g = p.gamma[i], per_radius = 1 / p.radius[i];
      V psi = half * sum[i], value = psi * (a - psi * (b - g * psi)), rise = a - psi * (2 * b - 3 * g * psi);
      if (p.saturates) {
        V twice = 2 * value;
        value = 1 - 2 / (exponential(twice > Of::highest ? all(Of::highest) : twice) + 1);
        rise *= 1 - value * value;
      }
      V b1 = 1 / p.reduced[i] - value * per_radius, b2 = b1 * b1, b5 = b2 * b2 * b1;
      inverse[i] = b1, born[i] = 1 / b1, slope[i] = -half * per_radius * rise;
      add(p.self[i] * b1 + p.surface[i] * b5 * b1);
      sum[i] = p.self[i] + 6 * p.surface[i] * b5;
      pull[i] = V{};
    }
  }

  void add_pairs() {
    over_tiles(
        [&](int i, int from, int to) {
          V energy{}, born_i{}, quarter_i{}, pull_i{};
          V3 f_i{};
          if (p.has_born) born_i = born[i], quarter_i = T(-0.25) * inverse[i];
          const T* terms = p.pair + 4 * place(i, from);
          for (int j = from; j < to; ++j, terms += 4) {
            V3 d = difference(i, j);
            V r2 = dot(d, d), push{};
            if (p.has_pairs) energy += coulomb_and_lennard_jones(r2, terms, push);
            if (p.has_born) {
              V of_radii;
              energy += solvation(r2, terms[3], born_i * born[j], quarter_i * inverse[j], push, of_radii);
              pull_i += of_radii, tile[j] += of_radii;
            }
            V3 force = push * d;
            f_i += force, f_tile[j] += force;
          }
          add(energy);
          f[i] += f_i;
          if (p.has_born) pull[i] += pull_i;
        },
        [&](int start, int stop) {
          finish_forces(start, stop);
          if (p.has_born) finish_sums(pull, start, stop);
        });
  }

  // The energy of a pair; adds to `push` what pushes it apart, -U'(r) / r.
  V coulomb_and_lennard_jones(V r2, const T* terms, V& push) const {
    V r_2 = 1 / r2, r_1 = square_root(r_2), r_6 = r_2 * r_2 * r_2, coulomb = terms[0] * r_1;
    V attraction = terms[1] * r_6, repulsion = terms[2] * r_6 * r_6;
    V value = repulsion - attraction, own = (12 * repulsion - 6 * attraction) * r_2;
    if (!CUT) {
      push += own + coulomb * r_2;
      return value + coulomb;
    }
    V r = r2 * r_1, t = (r - T(p.switch_start)) * T(p.switch_inverse);
    t = t > 0 ? (t < 1 ? t : all(1)) : V{};
    V on = 1 - t * t * t * (10 - t * (15 - 6 * t)), fall = 30 * t * t * (1 - t) * (1 - t) * T(p.switch_inverse);
    own = own * on + value * fall * r_1 + coulomb * r_2 - 2 * T(p.k_rf) * terms[0];
    value = value * on + coulomb + terms[0] * (T(p.k_rf) * r2 - T(p.c_rf));
    auto near = r2 < T(p.cutoff2);
    push += near ? own : V{};
    return near ? value : V{};
  }

  // The energy of a pair at fixed radii; adds to `push`, and gives in `of_radii` what changes with them, B dE/dB.
  V solvation(V r2, T qq, V product, V quarter, V& push, V& of_radii) const {
    V falls = exponential(r2 * quarter), f_2 = 1 / (r2 + product * falls), value = qq * square_root(f_2), per_f2 = value * f_2;
    V own = per_f2 * (1 - T(0.25) * falls);
    of_radii = T(-0.5) * per_f2 * falls * (product + T(0.25) * r2);
    if (CUT) {
      auto near = r2 < T(p.born_cutoff2);
      value = near ? value - qq * T(p.born_shift) : V{};
      own = near ? own : V{}, of_radii = near ? of_radii : V{};
    }
    push += own;
    return value;
  }

  void add_chain() {  // forces through the Born radii
    for (int i = 0; i < n; ++i) slope[i] *= sum[i] - born[i] * pull[i];
    over_tiles(
        [&](int i, int from, int to) {
          V3 f_i{};
          for (int j = from; j < to; ++j) {
            V3 d = difference(i, j);
            V first, second, unused;
            if (slopes.empty()) {
              meet(i, j, dot(d, d), unused, unused, first, second);
            } else {
              const V* store = &slopes[2 * place(i, j)];
              first = store[0], second = store[1];
            }
            V3 force = -(slope[i] * first + slope[j] * second) * d;
            f_i += force, f_tile[j] += force;
          }
          f[i] += f_i;
        },
        [&](int start, int stop) { finish_forces(start, stop); });
  }

  void add_apart() {
    for (int m = 0; m < p.apart; ++m) {
      int i = p.apart_atoms[2 * m], j = p.apart_atoms[2 * m + 1];
      const T* terms = p.apart_terms + 3 * m;
      V3 d = p.apart_images ? difference(i, j) : x[i] - x[j];
      V r_2 = 1 / dot(d, d), r_6 = r_2 * r_2 * r_2, coulomb = terms[0] * square_root(r_2);
      V attraction = terms[1] * r_6, repulsion = terms[2] * r_6 * r_6;
      add(coulomb + repulsion - attraction);
      V3 force = ((coulomb + 12 * repulsion - 6 * attraction) * r_2) * d;
      f[i] += force, f[j] -= force;
    }
  }

  void add_bonds() {
    for (int m = 0; m < p.bonds; ++m) {
      int i = p.bond_atoms[2 * m], j = p.bond_atoms[2 * m + 1];
      T length = p.bond_terms[2 * m], k = p.bond_terms[2 * m + 1];
      V3 d = x[i] - x[j];
      V r = square_root(dot(d, d)), stretch = r - length;
      add(T(0.5) * k * stretch * stretch);
      V3 force = (-k * stretch / r) * d;
      f[i] += force, f[j] -= force;
    }
  }

  void add_angles() {
    for (int m = 0; m < p.angles; ++m) {
      const int32_t* a = p.angle_atoms + 3 * m;
      T angle = p.angle_terms[2 * m], k = p.angle_terms[2 * m + 1];
      V3 u = x[a[0]] - x[a[1]], v = x[a[2]] - x[a[1]], normal = cross(u, v);
      V along = dot(u, v), across = square_root(dot(normal, normal));
      auto flat = across <= T(FLAT);
      across = flat ? all(T(FLAT)) : across;
      V bend = arctangent(along, across) - angle, push = flat ? V{} : -k * bend / across;
      add(T(0.5) * k * bend * bend);
      V3 first = push * ((along / dot(u, u)) * u - v), last = push * ((along / dot(v, v)) * v - u);
      f[a[0]] += first, f[a[2]] += last, f[a[1]] -= first, f[a[1]] -= last;
    }
  }

  void add_torsions() {
    for (int m = 0; m < p.torsions; ++m) {
      const int32_t* q = p.torsion_atoms + 5 * m;
      const T *a = p.torsion_terms + 12 * m, *b = a + 6;
      V3 u = x[q[1]] - x[q[0]], v = x[q[2]] - x[q[1]], w = x[q[3]] - x[q[2]], left = cross(u, v), right = cross(v, w);
      V per_v2 = 1 / dot(v, v), length = 1 / square_root(per_v2), left2 = dot(left, left), right2 = dot(right, right);
      V scale = 1 / square_root(left2 * right2), c = dot(left, right) * scale, s = length * dot(u, right) * scale;
      V c_n = c, s_n = s, rise = b[0] * c - a[0] * s;
      V energy = a[0] * c + b[0] * s;
      for (int k = 1; k < q[4]; ++k) {
        V next = c_n * c - s_n * s;
        s_n = s_n * c + c_n * s, c_n = next;
        energy += a[k] * c_n + b[k] * s_n;
        rise += T(k + 1) * (b[k] * c_n - a[k] * s_n);
      }
      add(energy);
      V3 first = (rise * length / left2) * left, last = (-rise * length / right2) * right;
      V3 middle = (dot(u, v) * per_v2) * first - (dot(w, v) * per_v2) * last;
      f[q[0]] += first, f[q[1]] -= first, f[q[1]] -= middle;
      f[q[3]] += last, f[q[2]] -= last, f[q[2]] += middle;
    }
  }
};

// -------------------------------------------------------------------------------------------------------------- the batch

// What is evaluated: configurations, the factors that energies and forces are multiplied by, and where they go.
template <class T> struct Batch {
  const T* x;
  int64_t size;
  double per_energy, per_force;
  double* energy;
  T* forces;  // null: none are wanted
};

// Groups of a batch, shared out over threads; whether there was memory for all.
template <class T, bool CUT> bool evaluate(const Parameters<T>& p, const Batch<T>& batch, int64_t threads) {
  constexpr int LANES = Group<T, CUT>::LANES;
  const int64_t groups = (batch.size + LANES - 1) / LANES;
  threads = std::max<int64_t>(1, std::min(threads, groups));
  std::vector<char> done(threads, 0);
  auto work = [&](int64_t thread) {
    try {
      Group<T, CUT> group(p, batch.forces != nullptr);
      for (int64_t g = groups * thread / threads; g < groups * (thread + 1) / threads; ++g) {
        int64_t first = g * LANES, row = 3 * p.atoms * first;
        int count = int(std::min<int64_t>(LANES, batch.size - first));
        T* forces = batch.forces ? batch.forces + row : nullptr;
        group.evaluate(batch.x + row, count, batch.per_energy, T(batch.per_force), batch.energy + first, forces);
      }
      done[thread] = 1;
    } catch (const std::exception&) {  // out of memory: must not leave a thread
    }
  };
  std::vector<std::thread> others;
  int64_t started = 1;
  try {
    for (; started < threads; ++started) others.emplace_back(work, started);
  } catch (const std::exception&) {  // no more threads: what they were to do is done here
  }
  work(0);
  for (int64_t thread = started; thread < threads; ++thread) work(thread);
  for (auto& other : others) other.join();
  return std::all_of(done.begin(), done.end(), [](char d) { return d; });
}

template <class T> int64_t choose(const Parameters<T>& p, const Batch<T>& batch, int64_t threads) {
  const bool cut = p.periodic || std::isfinite(p.cutoff2) || std::isfinite(p.born_cutoff2);
  return cut ? evaluate<T, true>(p, batch, threads) : evaluate<T, false>(p, batch, threads);
}

extern "C" {
int64_t evaluate_float(const Parameters<float>* p, const Batch<float>* batch, int64_t threads) {
  return choose(*p, *batch, threads);
}
int64_t evaluate_double(const Parameters<double>* p, const Batch<double>* batch, int64_t threads) {
  return choose(*p, *batch, threads);
}
}
