rockspec_format = "3.0"
package = "zenlayer"
version = "scm-1"

source = {
  url = "git+https://github.com/lua-zenlayer/lua-zenlayer.git",
}

description = {
  summary = "The Zenlayer Cloud API for Lua: signed, retried, and every instance accounted for",
  detailed = [[
    A C module that calls the Zenlayer Cloud API: StopInstances, the status of instances, and any
    other action through the same door. A failure is a table that says, of every instance, whether
    it was stopped.
    Needs libcurl 7.80 or newer and OpenSSL 3, with their headers and pkg-config.
  ]],
  homepage = "https://github.com/lua-zenlayer/lua-zenlayer",
  license = "MIT",
  labels = { "cloud", "http", "zenlayer" },
}

supported_platforms = { "unix" }

dependencies = {
  "lua >= 5.1, < 5.5",
  "lua-cjson >= 2.1.0",
}

-- The Makefile finds libcurl and OpenSSL with pkg-config, and keeps the module from being unloaded.
-- luarocks itself takes what was built: of a `make install`, LuaRocks 3.8 gets no file into the rock
-- of `luarocks make --pack-binary-rock`.
build = {
  type = "make",
  variables = {
    CC = "$(CC)",
    CFLAGS = "$(CFLAGS)",
    LIBFLAG = "$(LIBFLAG)",
    LUA = "$(LUA)",
    LUA_INCDIR = "$(LUA_INCDIR)",
    BUILD = "build/rock",
    OUT = "build/rock",
  },
  install_pass = false,
  install = {
    lib = {
      ["zenlayer"] = "build/rock/zenlayer.so",
      ["zenlayer.core"] = "build/rock/zenlayer/core.so",
    },
    lua = {
      ["resty.zenlayer"] = "lib/resty/zenlayer.lua",
      ["resty.zenlayer.http"] = "lib/resty/zenlayer/http.lua",
    },
  },
  copy_directories = {}, -- with none of them README, LICENSE and CHANGELOG go into the rock
}
