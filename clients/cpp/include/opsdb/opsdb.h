#pragma once

#include <opsdb/client.h>
