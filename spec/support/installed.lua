-- What somebody does first with the module after installing it: load it, ask for its version, stop
-- an instance. The arguments: endpoint, CA file, id. It prints what it found, and the files that
-- were loaded (those of resty, which is for nginx, are only looked for).
local endpoint, ca_file, id = ...
local zenlayer = require "zenlayer"
local safe = require "zenlayer.safe"
local core = require "zenlayer.core"

for name, value in pairs(zenlayer.versions()) do
    print(name .. "\t" .. value)
end

local options = {
    access_key_id = "SANDBOXKEY", access_key_password = "sandbox-password", endpoint = endpoint,
    ca_file = ca_file, proxy = false,
}
local client = zenlayer.new(options)
print("request_id\t" .. client:stop_instances({ id }, { force_shutdown = false })[1])
client:close()

local refused, err = safe.new { acess_key_id = "" }
assert(refused == nil and safe.is_error(err))
options.ca_file = nil
assert(core.new(options):prepare_stop_instances({ id }):step() == "send")

local files, seen = {}, {}
for line in io.lines "/proc/self/maps" do
    local file = line:match "%s(/.*/lua/5%.%d/zenlayer.*)$"
    if file and not seen[file] then
        seen[file] = true
        files[#files + 1] = file
    end
end
table.sort(files)
for _, name in ipairs { "resty/zenlayer", "resty/zenlayer/http" } do
    for template in package.path:gmatch "[^;]+" do
        local file = template:gsub("%?", name)
        if loadfile(file) then
            files[#files + 1] = file
            break
        end
    end
end
print("file\t" .. table.concat(files, "\nfile\t"))
