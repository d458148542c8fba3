-- The server of cutter.py: it cuts connections at a byte.
local process = require "process"
local safe = require "zenlayer.safe"

local cutter = {}
cutter.__index = cutter

local KEYS = { access_key_id = "SANDBOXKEY", access_key_password = "sandbox-password" }

local function client(endpoint, ca_file, options)
    local all = { endpoint = endpoint, ca_file = ca_file, proxy = ca_file and false or nil }
    for _, more in ipairs { KEYS, options } do
        for name, value in pairs(more) do
            all[name] = value
        end
    end
    return assert(safe.new(all))
end

function cutter.start(scheme)
    local self = setmetatable({ directory = process.temporary_directory() }, cutter)
    local directory = self.directory
    self.server = process.start(
        { "python3", "-B", "spec/support/cutter.py", directory, scheme },
        directory .. "/ready.json", directory .. "/messages")
    local ready = self.server.ready
    self.endpoint = ("%s://127.0.0.1:%d"):format(scheme, ready.port)
    self.ca_file = scheme == "https" and ready.ca_file or nil
    self.control = client(("http://127.0.0.1:%d"):format(ready.control), nil, {})
    return self
end

function cutter:stop()
    self.control:close()
    process.stop(self.server)
    process.remove(self.directory)
end

function cutter:client(options)
    return client(self.endpoint, self.ca_file, options)
end

-- Cut the next exchange: { where =, at =, ["end"] =, framing = }.
function cutter:arm(cut)
    assert(self.control:call("Arm", cut))
end

-- What came since then. Every client must have been closed.
function cutter:seen()
    local seen = assert(self.control:call("Seen", {}))
    assert(seen.quiet, "a connection is left")
    return seen.exchanges
end

return cutter
