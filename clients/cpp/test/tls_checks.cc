#include <opsdb/opsdb.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "checks.h"
#include "fake_site.h"

namespace {

/** Where the certificates are: ca.pem, server.pem and client.pem with keys; the server's name is opsdb.test. */
std::string file(const std::string& name) { return std::string(std::getenv("OPSDB_TEST_CERTIFICATES")) + "/" + name; }

std::string read(const std::string& name) {
  std::ifstream stream(file(name));
  return {std::istreambuf_iterator<char>(stream), {}};
}

std::shared_ptr<grpc::ServerCredentials> mutual_tls() {
  grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = read("ca.pem");
  options.pem_key_cert_pairs.push_back({read("server.key"), read("server.pem")});
  return grpc::SslServerCredentials(options);
}

opsdb::v1::WriteState write_over(const FakeSite& site, const std::optional<opsdb::Tls>& tls) {
  opsdb::ClientOptions options;
  options.timeout = opsdb::Milliseconds(tls && !tls->key_file.empty() ? 10'000 : 500);
  options.tls = tls;
  return opsdb::Client(site.address(), options).write({opsdb::insert("t", {{"n", 1}})}).status.state();
}

}  // namespace

static Registered mutual("mutual TLS: with the authority, a certificate and the server's name the call goes through", [] {
  FakeSite site(mutual_tls());
  same(write_over(site, opsdb::Tls{file("ca.pem"), file("client.pem"), file("client.key"), "opsdb.test"}),
       opsdb::accepted, "state");
});

static Registered closed("mutual TLS: without a certificate, or without TLS, no call gets there", [] {
  FakeSite site(mutual_tls());
  thrown<opsdb::Error>([&] { write_over(site, opsdb::Tls{file("ca.pem"), "", "", "opsdb.test"}); });
  thrown<opsdb::Error>([&] { write_over(site, std::nullopt); });
  same(site.attempts(), 0, "calls that arrived");
});

static Registered missing_file("a file that cannot be read is told at once, by its name", [] {
  const auto error = thrown<std::runtime_error>([] {
    opsdb::ClientOptions options;
    options.tls = opsdb::Tls{"/nowhere/ca.pem"};
    opsdb::Client("127.0.0.1:1", options);
  });
  same(std::string(error.what()), "cannot read /nowhere/ca.pem", "error");
});

static Registered plaintext_token("a token does not leave this host unencrypted unless that was allowed", [] {
  opsdb::ClientOptions options;
  options.token = "secret";
  opsdb::Client("localhost:1", options);
  thrown<std::invalid_argument>([&] { opsdb::Client("ops.example:1", opsdb::ClientOptions(options)); });
  options.allow_plaintext_token = true;
  opsdb::Client("ops.example:1", options);
});
