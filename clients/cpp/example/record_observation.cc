// Records an observation, with its package and its files, in one atomic write; reads it back before the main site has
// it; follows it there and back; and is refused a bad value.
//
// usage: record-observation HOST:PORT [OBSERVER]        OPSDB_TOKEN: bearer token, where the site asks for one

#include <opsdb/opsdb.h>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

using opsdb::column;
using opsdb::insert;
using opsdb::Uuid;

static const Uuid unit("0b500000-0000-4000-8000-000000000001");
static const Uuid instrument("15700000-0000-4000-8000-000000000002");

static void observe(opsdb::Client& site, const std::string& observer) {
  // Keys of the client's own choice, so that the rows can refer to each other in one write.
  const Uuid observation = Uuid::v7();
  const Uuid package = Uuid::v7();
  const auto started = std::chrono::system_clock::now() - std::chrono::minutes(45);

  const auto written = site.write({
      insert("executed_obs_units", {{"id", observation},
                                    {"obs_unit_id", unit},
                                    {"instrument_id", instrument},
                                    {"start_time", started},
                                    {"end_time", std::chrono::system_clock::now()},
                                    {"status", "COMPLETED"},
                                    {"mean_pwv_mm", opsdb::Numeric{"0.480"}},
                                    {"tau", 0.031},
                                    {"module_numbers", std::vector<int>{1, 2}},
                                    {"conditions", opsdb::Json{R"({"wind_m_s": 4.5, "sky": "clear"})"}},
                                    {"observer", observer}}),
      insert("raw_data_packages", {{"id", package},
                                   {"executed_obs_unit_id", observation},
                                   {"name", observation.str() + ".tar"},
                                   {"size_bytes", 7340032}}),
      insert("raw_data_files", {{"executed_obs_unit_id", observation},
                                {"raw_data_package_id", package},
                                {"name", "lfa.fits"},
                                {"relative_path", "raw/lfa.fits"},
                                {"size_bytes", 4194304}}),
      insert("raw_data_files", {{"executed_obs_unit_id", observation},
                                {"raw_data_package_id", package},
                                {"name", "hfa.fits"},
                                {"relative_path", "raw/hfa.fits"},
                                {"size_bytes", 3145728}}),
  });
  std::cout << "accepted " << written.id.str() << " with " << written.rows.size() << " rows\n";
  std::cout << "observation " << observation.str() << "\n";

  const auto files = opsdb::Query("raw_data_files")
                         .columns({"name", "size_bytes", "created_at"})
                         .where(column("executed_obs_unit_id") == observation)
                         .order_by("name");
  for (const opsdb::Row& file : site.query(files)) {
    std::cout << "read " << file.get<std::string>("name") << " " << file.get<std::int64_t>("size_bytes") << "\n";
  }

  site.follow(written.id, [](const opsdb::v1::WriteStatus& status) {
    std::cout << "is " << opsdb::to_string(status.state()) << "\n";
    return true;
  });
  std::cout << "outcome " << opsdb::to_string(site.get_write(written.id).state()) << "\n";
}

static void be_refused(opsdb::Client& site) {
  try {
    site.write({insert("executed_obs_units",
                       {{"obs_unit_id", unit}, {"instrument_id", instrument}, {"mean_pwv_mm", "much"}})});
  } catch (const opsdb::Error& error) {
    std::cout << "refused " << error.reason() << " " << error.field() << "\n";
  }
}

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: record-observation HOST:PORT [OBSERVER]\n";
    return 2;
  }
  try {
    opsdb::ClientOptions options;
    if (const char* token = std::getenv("OPSDB_TOKEN")) options.token = token;
    opsdb::Client site(argv[1], options);
    observe(site, argc > 2 ? argv[2] : "night shift");
    be_refused(site);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
