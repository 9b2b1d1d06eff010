// A unit that checks/fused must refuse, for the second product.
double found_by_the_check(double a, double b, double c) { return a * b + c; }  // planted
double twice(double a, double b) { return 2 * a - b; }                         // exact
double forgotten(float const* a, float const* b) {
  double sum = 0;
  for (int i = 0; i < 3; ++i) sum += static_cast<double>(a[i] * b[i]) * .1;
  return sum;
}
