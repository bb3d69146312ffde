#include "checks.h"

int main() { return run_checks(); }
