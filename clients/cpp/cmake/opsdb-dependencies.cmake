# protobuf 22 and newer must be found by its own configuration, which brings in Abseil; the Debian packages of 3.21 have
# none, so there CMake's module is used. In either case before gRPC, which would otherwise define the targets first.
if(NOT TARGET protobuf::libprotobuf)
  find_package(Protobuf CONFIG QUIET)
endif()
if(NOT TARGET protobuf::libprotobuf)
  find_package(Protobuf MODULE REQUIRED)
endif()
find_package(gRPC CONFIG REQUIRED)
