-- What lib/ holds is for every Lua that is supported. Scripts and specs run on each of them too: the
-- specs may use the functions of 5.4, which spec/support/every_lua.lua supplies.
std = "lua54"
max_line_length = 100
exclude_files = { "build", "lua_modules", ".luarocks" }

files["**/*_spec.lua"].std = "lua54+busted"
files["spec/support"].std = "lua54+busted"
files["spec/support/every_lua.lua"] = { std = "max", ignore = { "121", "122", "143" } }
files["spec/torture"].globals = { "memory_failed", "copy_variable" }
files["lib"].std = "min"
files["lib/resty"].std = "ngx_lua"
files["examples/openresty"].std = "ngx_lua"
files["bench/gateway.lua"].std = "ngx_lua"
files["rockspec"].std = "rockspec"
files[".luacheckrc"].std = "luacheckrc"
files["types"].ignore = { "111", "112", "113", "121", "131", "211", "212", "241", "631" }
