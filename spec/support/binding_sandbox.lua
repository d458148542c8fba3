-- What the specs of the binding talk to: a sandbox that answers what it is told to, and a server
-- that shows the bytes of the parameters it got.
local cjson = require "cjson"
local process = require "process"

local binding_sandbox = {}
binding_sandbox.__index = binding_sandbox

local function start(command)
    local directory = process.temporary_directory()
    local ready_file = directory .. "/ready.json"
    local self = setmetatable({ directory = directory }, binding_sandbox)
    self.server = process.start(command(directory, ready_file), ready_file,
        directory .. "/messages")
    self.endpoint = "http://127.0.0.1:" .. math.tointeger(self.server.ready.port)
    self.pid = self.server.pid
    return self
end

-- A sandbox over plain HTTP, where every id is an instance; with more of its options, if given.
function binding_sandbox.start(more)
    return start(function(directory, ready_file)
        return {
            "sandbox/zenlayer-sandbox", "--http", "--accept-any", "--die-with-parent",
            "--ready-file", ready_file, "--journal", directory .. "/journal",
            "--faults", directory .. "/faults.json", table.unpack(more or {}),
        }
    end)
end

-- The server of binding_echo.py.
function binding_sandbox.start_echo()
    return start(function(_, ready_file)
        return { "python3", "-B", "spec/support/binding_echo.py", ready_file }
    end)
end

function binding_sandbox:stop()
    process.stop(self.server)
    process.remove(self.directory)
end

-- A client of `module` for it; the rest of the options is as given.
function binding_sandbox:client(module, options)
    local all = {
        access_key_id = "SANDBOXKEY",
        access_key_password = "sandbox-password",
        endpoint = self.endpoint,
        max_attempts = 1,
    }
    for name, value in pairs(options or {}) do
        all[name] = value
    end
    return assert(module.new(all))
end

-- Play these fault rules from now on.
function binding_sandbox:behave(rules)
    process.write(self.directory .. "/faults.json", #rules == 0 and "[]" or cjson.encode(rules))
end

-- Answer every request with this body, byte for byte.
function binding_sandbox:answer(body, status)
    local hex = body:gsub(".", function(c)
        return ("%02x"):format(c:byte())
    end)
    self:behave { { fault = "answer", status = status or 200, body_hex = hex } }
end

-- The requests in the journal, in order.
function binding_sandbox:requests()
    local found = {}
    for _, line in ipairs(process.json_lines(self.directory .. "/journal")) do
        if line.seq and line.method == "POST" then
            found[#found + 1] = line
        end
    end
    return found
end

return binding_sandbox
