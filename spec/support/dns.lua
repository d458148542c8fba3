-- A DNS server for the specs: what nginx's `resolver` asks. See dns.py.
--
--   local names = dns.start { ["api.test"] = { "127.0.0.1" } }
--   gateway.start { resolver = names.address, … }
--   names:set { names = { … }, silent = true, failing = true, delay = 1.5 }
--   names:questions()  -- { "api.test", … } since the last set
--   names:stop()
local cjson = require "cjson"
local process = require "process"
local server = require "server"

local dns = {}
dns.__index = dns

function dns.start(names)
    local self = setmetatable({ names = names or {}, from = 0 }, dns)
    self.server = server.run({ "python3", "-B", "spec/support/dns.py" }, { names = self.names })
    self.address = "127.0.0.1:" .. self.server.port
    return self
end

function dns:stop()
    self.server:stop()
end

-- What it does from now on: the names are kept unless others are given, the rest is not.
function dns:set(options)
    self.names = options.names or self.names
    local all = { names = self.names }
    for name, value in pairs(options) do
        all[name] = value
    end
    process.write(self.server.directory .. "/options.json", cjson.encode(all))
    self.from = #self.server:events "question"
end

-- The names it was asked for (addresses of IPv4) since the last set.
function dns:questions()
    local found = {}
    for i, line in ipairs(self.server:events "question") do
        if i > self.from and line.type == 1 then
            found[#found + 1] = line.name
        end
    end
    return found
end

return dns
