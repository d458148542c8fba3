-- The scripts and specs run on Lua 5.4; what lib/ holds runs on every Lua that is supported.
std = "lua54"
max_line_length = 100
exclude_files = { "build", "lua_modules", ".luarocks" }

files["**/*_spec.lua"].std = "lua54+busted"
files["spec/support"].std = "lua54+busted"
files["lib"].std = "min"
files["lib/resty"].std = "ngx_lua"
files["examples/openresty"].std = "ngx_lua"
files["bench/gateway.lua"].std = "ngx_lua"
files["rockspec"].std = "rockspec"
files[".luacheckrc"].std = "luacheckrc"
files["types"].ignore = { "111", "112", "113", "121", "131", "211", "212", "631" }
