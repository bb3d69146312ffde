// For tests with faults: reads a number of writes from each line of standard input, makes them one after the other, and
// tells each acknowledgement on a line: its number, its write id, and whether it came for a repeated id.
//
// usage: write-samples HOST:PORT MARK

#include <opsdb/opsdb.h>

#include <exception>
#include <iostream>
#include <string>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const opsdb::Uuid unit("0b500000-0000-4000-8000-000000000001");
  const opsdb::Uuid instrument("15700000-0000-4000-8000-000000000002");
  opsdb::ClientOptions options;
  options.timeout = opsdb::Milliseconds(120'000);
  options.retry.attempt = opsdb::Milliseconds(5'000);
  opsdb::Client site(argv[1], options);
  int done = 0;
  int more = 0;
  while (std::cin >> more) {
    for (int i = 0; i < more; ++i) {
      try {
        // The key is left to the service: repeated as another write, this would be a second row.
        const auto written = site.write({opsdb::insert("executed_obs_units", {{"obs_unit_id", unit},
                                                                              {"instrument_id", instrument},
                                                                              {"observer", argv[2]},
                                                                              {"remark", std::to_string(done)}})});
        std::cout << done++ << " " << written.id.str() << (written.duplicate ? " duplicate" : " new") << std::endl;
      } catch (const std::exception& error) {
        std::cerr << "write " << done << ": " << error.what() << std::endl;
        return 1;
      }
    }
  }
  return 0;
}
