-- What torture.c does to see that nothing secret is left in memory that the core gives back: every
-- way for a key, a token or a proxy's password to come in, and every way for its copies to go. Over
-- TLS, through a proxy that wants a password. The secrets are in the environment, and in a task
-- that is `unseen` nothing here takes them from there.
--
-- Arguments of a task: the sandbox's endpoint, its CA file, its file of faults.
require "cjson" -- it stays loaded, so that LeakSanitizer knows whose its blocks are

local jit = rawget(_G, "jit")
if jit then
    jit.off() -- as in tasks.lua
end

local KEY_ID, OUT_OF_MEMORY = "SANDBOXKEY", "not enough memory"
local VARIABLES = {
    "ZENLAYER_ACCESS_KEY_ID", "ZENLAYER_ACCESS_KEY_SECRET", "ZENLAYER_ACCESS_KEY_PASSWORD",
    "ZENLAYER_TOKEN", "ZENLAYER_PROFILE", "ZENLAYERCLOUD_SECRET_KEY_ID",
    "ZENLAYERCLOUD_SECRET_KEY_PASSWORD", "ZENLAYERCLOUD_ACCESS_KEY_ID",
    "ZENLAYERCLOUD_ACCESS_KEY_PASSWORD", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY",
    "no_proxy", "NO_PROXY",
}

local Point = {}
Point.__index = Point

-- Options without credentials; with `proxy = false` that of the environment is used.
function Point:options(more)
    local options = {
        endpoint = self.endpoint, ca_file = self.ca_file, max_attempts = 1, timeout = 2,
        connect_timeout = 2, deadline = 4,
    }
    if more.proxy == nil then
        options.proxy = os.getenv "TORTURE_PROXY"
    end
    for name, value in pairs(more) do
        options[name] = value or nil
    end
    return options
end

function Point:with_key(more)
    local options = self:options(more or {})
    options.access_key_id, options.access_key_password = KEY_ID, os.getenv "TORTURE_PASSWORD"
    return options
end

-- The faults of the sandbox, until the end of the point.
function Point:faults(rules)
    local file = assert(io.open(self.faults_file .. ".new", "w"))
    file:write(rules, (" "):rep(self.number % 1000)) -- as in tasks.lua
    file:close()
    assert(os.rename(self.faults_file .. ".new", self.faults_file))
end

-- So many ids that nobody has had.
function Point:ids(count)
    local ids = {}
    for i = 1, count do
        self.last_id = (self.last_id or 0) + 1
        ids[i] = ("s%d-%d"):format(self.number, self.last_id)
    end
    return ids
end

-- A stop on a new connection and one on a kept one.
function Point:stop_twice(options)
    local client = self.zenlayer.new(options)
    local request_ids = client:stop_instances(self:ids(1))
    client:stop_instances(self:ids(1))
    client:close()
    return #request_ids == 1
end

-- Call it, and expect an error of this code.
function Point:refused(code, f, ...)
    local ok, err = pcall(f, ...)
    if err == OUT_OF_MEMORY then
        error(err, 0)
    elseif ok then
        -- libcurl 7.88 goes without a proxy when it has no memory for the name of its user.
        return self:is_memory "no refusal"
    elseif not self.zenlayer.is_error(err) then
        error("no refusal: " .. tostring(err))
    elseif not (err.code .. tostring(err)):find(code, 1, true) and not self:is_memory(err) then
        error("another one than " .. code .. ": " .. tostring(err))
    end
    return true
end

-- Whether that may have come of memory that ran out: known for certain only when all is over.
function Point:is_memory(err)
    self.doubt = tostring(err)
    return true
end

-- --- the tasks ---------------------------------------------------------------------------------

-- Each is a function of a point that makes everything ready and returns what is to be done, which
-- returns true.
local tasks, names, unseen = {}, {}, {}

local function task(name, begin)
    names[#names + 1] = name
    tasks[name] = begin
end

local function unseen_task(name, begin)
    unseen[name] = true
    task(name, begin)
end

task("key", function(p)
    local options = p:with_key()
    return function()
        return p:stop_twice(options)
    end
end)

task("token", function(p)
    local options = p:options { token = os.getenv "TORTURE_TOKEN" }
    return function()
        return p:stop_twice(options)
    end
end)

unseen_task("key_of_environment", function(p)
    local options = p:options { proxy = false }
    copy_variable("ZENLAYER_ACCESS_KEY_ID", "TORTURE_KEY_ID")
    copy_variable("ZENLAYER_ACCESS_KEY_SECRET", "TORTURE_PASSWORD")
    copy_variable("https_proxy", "TORTURE_PROXY")
    return function()
        return p:stop_twice(options)
    end
end)

unseen_task("token_of_environment", function(p)
    local options = p:options { proxy = false }
    copy_variable("ZENLAYER_TOKEN", "TORTURE_TOKEN")
    copy_variable("ALL_PROXY", "TORTURE_PROXY")
    return function()
        return p:stop_twice(options)
    end
end)

unseen_task("environment_refused", function(p)
    local options = p:options { proxy = false }
    copy_variable("ZENLAYER_ACCESS_KEY_ID", "TORTURE_KEY_ID")
    copy_variable("ZENLAYER_ACCESS_KEY_SECRET", "TORTURE_PASSWORD")
    copy_variable("ZENLAYER_ACCESS_KEY_PASSWORD", "TORTURE_OTHER_PASSWORD")
    return function()
        return p:refused("are not the same", p.zenlayer.new, options)
    end
end)

unseen_task("files", function(p)
    local options = { p:options { proxy = false }, p:options { proxy = false, profile = "token" } }
    copy_variable("HOME", "TORTURE_HOME")
    copy_variable("https_proxy", "TORTURE_PROXY")
    return function()
        return p:stop_twice(options[1]) and p:stop_twice(options[2])
    end
end)

unseen_task("files_refused", function(p)
    local new, options = p.zenlayer.new, p:options { proxy = false }
    local both = p:options { proxy = false, profile = "both" }
    local half = p:options { proxy = false, profile = "half" }
    copy_variable("HOME", "TORTURE_HOME")
    return function()
        p:refused("both an access key and a token", new, both)
        p:refused("without access_key_id", new, half)
        copy_variable("HOME", "TORTURE_BROKEN_HOME")
        p:refused("no JSON at byte", new, options)
        copy_variable("HOME", "TORTURE_OPEN_HOME")
        return p:refused("chmod 600", new, options)
    end
end)

task("options_refused", function(p)
    local new = p.zenlayer.new
    local password, token = os.getenv "TORTURE_PASSWORD", os.getenv "TORTURE_TOKEN"
    local refusals = {
        ["both an access key and a token"] = p:with_key { token = token },
        ["without access_key_id"] = p:options { access_key_password = password },
        ["without NUL"] =
            p:options { access_key_id = "id", access_key_password = password .. "\0" .. password },
        ["without CR, LF"] = p:options { token = token .. "\r" .. token },
        ["is no http"] = p:with_key { proxy = (os.getenv "TORTURE_PROXY":gsub("^http", "ftp")) },
        ["unknown option"] = p:with_key { pasword = password },
    }
    return function()
        for message, options in pairs(refusals) do
            p:refused(message, new, options)
        end
        return true
    end
end)

-- The first key that it gives is refused by the API.
task("function", function(p)
    local next_one = "TORTURE_OTHER_PASSWORD"
    local function credentials()
        local password = os.getenv(next_one)
        next_one = "TORTURE_PASSWORD"
        return {
            access_key_id = KEY_ID, access_key_password = password, expires_at = os.time() + 3600,
        }
    end
    local options = p:options { credentials = credentials, max_attempts = 3 }
    return function()
        return p:stop_twice(options)
    end
end)

task("function_refused", function(p)
    local password = os.getenv "TORTURE_PASSWORD"
    local given = {
        { access_key_password = password }, { access_key_id = KEY_ID, pasword = password },
        { access_key_id = KEY_ID, access_key_password = password, expires_at = 1 },
        { token = os.getenv "TORTURE_TOKEN" .. "\n" },
    }
    return function()
        for i = 1, #given do
            local client = p.zenlayer.new(p:options {
                credentials = function()
                    return given[i]
                end,
            })
            p:refused("CREDENTIALS_", client.call, client, "Echo")
            client:close()
        end
        return true
    end
end)

task("sign", function(p)
    local input = {
        access_key_id = KEY_ID, access_key_password = os.getenv "TORTURE_PASSWORD", body = "{}",
        host = "console.zenlayer.com", timestamp = 1700000000,
    }
    local sign = p.zenlayer.sign
    return function()
        local signed = sign(input).Authorization
        input.content_type = ("x"):rep(513)
        return signed and p:refused("at most 512 bytes", sign, input)
    end
end)

-- An attempt that is refused, one that is lost, and one that succeeds.
task("retries", function(p)
    p:faults [=[[{ "fault": "status", "status": 500, "action": "StopInstances", "requests": [1] },
        { "fault": "reset_after", "action": "StopInstances", "requests": [2] }]]=]
    local options = p:with_key { max_attempts = 4 }
    return function()
        local client = p.zenlayer.new(options)
        p.client = client
        return #client:stop_instances(p:ids(2)) == 1
    end
end)

task("jobs", function(p)
    local options = p:with_key { max_concurrency = 2 }
    return function()
        local client = p.zenlayer.new(options)
        p.client = client
        client:connect()
        local job = client:submit_stop_instances(p:ids(210))
        local cancelled = client:submit_call "Echo"
        client:poll(0.01)
        cancelled:cancel()
        while client:poll(0.05) > 0 do
            client:sockets()
        end
        return #job:result() == 3
    end
end)

-- The client is closed, or just forgotten, while requests are under way.
for _, name in ipairs { "closed", "forgotten" } do
    task(name, function(p)
        local options = p:with_key()
        return function()
            local client = p.zenlayer.new(options)
            client:connect()
            client:submit_stop_instances(p:ids(310))
            client:poll(0)
            client:poll(0.005)
            if name == "closed" then
                client:close()
            end
            client = nil
            collectgarbage()
            return client == nil
        end
    end)
end

-- Operations whose bytes somebody else moves: one to its end, one that is dropped in the middle.
for _, name in ipairs { "prepared_key", "prepared_token" } do
    task(name, function(p)
        local options = name == "prepared_key" and p:with_key { max_attempts = 2 }
            or p:options { token = os.getenv "TORTURE_TOKEN", max_attempts = 2 }
        return function()
            local client = p.zenlayer.new(options)
            local op = client:prepare_stop_instances(p:ids(1))
            op:step()
            op:failed(1, "gone", true)
            while op:step_http() == "wait" do end
            op:reply(1, 200, nil, '{ "requestId": "r", "response": { "requestId": "r" } }')
            op:step()
            local done = #op:result() == 1
            op = client:prepare "Echo"
            op:step()
            op = nil
            collectgarbage()
            return done and op == nil
        end
    end)
end

task("pages", function(p)
    local options = p:with_key()
    return function()
        local client = p.zenlayer.new(options)
        p.client = client
        local next_page = client:pages("DescribeInstances", { pageSize = 1 })
        return type(next_page()) == "table"
    end
end)

-- Proxies that want another password, are not there, or are no URL.
task("proxies", function(p)
    local url, port = os.getenv "TORTURE_PROXY", os.getenv "TORTURE_PROXY":match "%d+$"
    local user = url:match "//(.*@)"
    local proxies = {
        "http://user:" .. os.getenv "TORTURE_OTHER_PASSWORD" .. "@127.0.0.1:" .. port,
        "http://" .. user .. "127.0.0.1:1", "socks5h://" .. user .. "127.0.0.1:1",
        "socks4://" .. user .. "127.0.0.1:1", "https://" .. user .. "127.0.0.1:1",
        "http://" .. user .. "127.0.0.1:70000", "http://" .. user .. "[::1",
        "http://" .. user .. "ho st:1", user .. "127.0.0.1:x",
    }
    return function()
        for i = 1, #proxies do
            local client = p.zenlayer.new(p:with_key { proxy = proxies[i] })
            p:refused("_FAILED", client.call, client, "Echo")
            client:close()
        end
        return true
    end
end)

-- --- what torture.c asks for -------------------------------------------------------------------

local function begin(name, number, endpoint, ca_file, faults_file)
    local p = setmetatable({
        number = number, endpoint = endpoint, ca_file = ca_file, faults_file = faults_file,
        zenlayer = require "zenlayer",
    }, Point)
    for _, variable in ipairs(VARIABLES) do
        copy_variable(variable)
    end
    copy_variable("HOME", "TORTURE_EMPTY_HOME")
    p:faults "[]"
    return tasks[name](p), function(ok, result)
        if p.client then
            p.client:close()
        end
        if not memory_failed() then
            assert(ok and result == true and not p.doubt, p.doubt or tostring(result))
        elseif not ok and result ~= OUT_OF_MEMORY and not p.zenlayer.is_error(result) then
            error("raised " .. tostring(result), 0)
        end
    end
end

return { names = names, begin = begin, unseen = unseen }
