-- What is wrong with arguments: resty.zenlayer says it in the words of zenlayer.safe.
local remote = require "remote"
local sandbox = require "sandbox"

local box, front, far, near

setup(function()
    box = sandbox.start()
    front = remote.start(box)
    far, near = front:first(), box:client()
end)
teardown(function()
    near:close()
    front:stop()
    box:stop()
end)

-- Both return nil, err, and the errors are the same to the letter.
local function refused(text)
    box:mark()
    local theirs = table.pack(far:run(text))
    local ours = table.pack(remote.run_here(near, text))
    assert.same(ours, theirs, text)
    assert.is_nil(theirs[1], text)
    assert.is_true(theirs[2].is_error, text)
    assert.equal("argument", theirs[2].kind, text)
    assert.equal("not_sent", theirs[2].outcome, text)
    assert.equal(0, #box:requests(), text)
    return theirs[2]
end

describe("arguments that are wrong are refused as by zenlayer.safe:", function()
    local WRONG = {
        ids = {
            "client:stop_instances()", "client:stop_instances(nil)", "client:stop_instances('a')",
            "client:stop_instances({})", "client:stop_instances({ 1 })",
            "client:stop_instances({ 'a', '' })", "client:stop_instances({ 'a', nil, 'b' })",
            "client:stop_instances({ 'a', x = 'b' })", "client:stop_instances({ 'a', false })",
            "client:stop_instances({ { 'a' } })", "client:stop_instances({ 'a\\0' })",
            "client:stop_instances({ '\\255' })", "client:stop_instances(print)",
            "client:describe_instances_status({ 1 })", "client:describe_instances_status('a')",
            "client:describe_instances_status({})", "client:wait_until_stopped()",
            "client:wait_until_stopped({})", "client:wait_until_stopped({ true })",
        },
        options = {
            "client:stop_instances({ 'a' }, 3)", "client:stop_instances({ 'a' }, { force = true })",
            "client:stop_instances({ 'a' }, { force_shutdown = 'no' })",
            "client:stop_instances({ 'a' }, { on_error = 'ignore' })",
            "client:stop_instances({ 'a' }, { deadline = 0 })",
            "client:stop_instances({ 'a' }, { deadline = 0/0 })",
            "client:stop_instances({ 'a' }, { deadline = 1/0 })",
            "client:stop_instances({ 'a' }, { max_attempts = 1.5 })",
            "client:stop_instances({ 'a' }, { grace = 3, force_shutdown = true })",
            "client:stop_instances({ 'a' }, { grace = 3, service = 'bmc' })",
            "client:stop_instances({ 'a' }, { wait = 1 })",
            "client:stop_instances({ 'a' }, { wait = true, on_progress = 1 })",
            "client:stop_instances({ 'a' }, { wait = true, wait_timeout = -1 })",
            "client:stop_instances({ 'a' }, { timeout = 'x' })",
            "client:stop_instances({ 'a' }, { service = 'x y' })",
            "client:stop_instances({ 'a' }, { isolate = 'yes' })",
            "client:stop_instances({ 'a' }, { deadlin = 3 })",
            "client:stop_instances({ 'a' }, { [1] = 3 })",
            "client:describe_instances_status(nil, { wait = true })",
            "client:wait_until_stopped({ 'a' }, { deadline = 3 })",
            "client:call('Echo', {}, { max_attempts = 0 })",
            "client:call('Echo', {}, { max_attempts = 101 })",
            "client:call('Echo', {}, { idempotent = 1 })",
            "client:call('Echo', {}, { api_version = 'a\\nb' })",
        },
        ["an action"] = {
            "client:call()", "client:call(nil)", "client:call(1)", "client:call('')",
            "client:call('A B')", "client:call('A\\r\\nX-Evil: 1')", "client:call('A\\0')",
            "client:call({})",
        },
        parameters = {
            "client:call('Echo', 1)", "client:call('Echo', 'x')", "client:call('Echo', { 1 })",
            "client:call('Echo', { x = print })", "client:call('Echo', { x = 0/0 })",
            "client:call('Echo', { x = { { 1/0 } } })", "client:call('Echo', { x = '\\255' })",
            "client:call('Echo', { x = { 1, nil, 3 } })",
            "client:call('Echo', { x = { 1, a = 2 } })",
            "client:call('Echo', { x = coroutine.create(function() end) })",
            "client:call('Echo', zenlayer.null)", "client:call('Echo', zenlayer.empty_array)",
            "(function() local t = {} t.t = t return client:call('Echo', t) end)()",
            "(function() local t = {} for _ = 1, 200 do t = { t = t } end "
                .. "return client:call('Echo', t) end)()",
        },
        ["a client"] = {
            "client.stop_instances({ 'a' })", "client.call('Echo')", "client.call(nil)",
            "client.stop_instances({}, { 'a' })", "client.close({})", "client.close('a')",
        },
        signing = {
            "zenlayer.sign()", "zenlayer.sign(3)", "zenlayer.sign({})",
            "zenlayer.sign({ access_key_id = 'a', access_key_password = 'b', host = 'h',"
                .. " body = '', timestamp = 'x' })",
            "zenlayer.sign({ access_key_id = 'a', access_key_password = 'b', host = 'h',"
                .. " body = '', timestamp = 1, hosts = 'x' })",
        },
        ["options of new"] = {
            "zenlayer.new(3)", "zenlayer.new({ endpoint = 'ftp://x' })",
            "zenlayer.new({ endpoint = 'http://example.com' })",
            "zenlayer.new({ endpoint = 'https://user:pass@example.com' })",
            "zenlayer.new({ endpoint = 'https://example.com/path' })",
            "zenlayer.new({ endpont = 'https://example.com' })",
            "zenlayer.new({ access_key_id = 'a', access_key_password = 'b', timeout = 0 })",
            "zenlayer.new({ access_key_id = 'a', access_key_password = 'b', service = 'x' })",
            "zenlayer.new({ access_key_id = 'a', access_key_password = 'b', connect_to = ':' })",
            "zenlayer.new({ access_key_id = 'a', access_key_password = 'b', max_concurrency = 0 })",
            "zenlayer.new({ access_key_id = 'a', access_key_password = 'b', user_agent = '\\n' })",
            "zenlayer.new({ access_key_id = 'a', access_key_password = 'b', proxy = 3 })",
        },
    }

    for what, texts in pairs(WRONG) do
        for _, text in ipairs(texts) do
            it(what .. ": " .. text, function()
                refused("return " .. text)
            end)
        end
    end

    it("credentials that are wrong", function()
        for _, text in ipairs {
            "zenlayer.new({ access_key_id = 'a' })",
            "zenlayer.new({ access_key_id = 'a', access_key_password = 'b', token = 'c' })",
            "zenlayer.new({ access_key_id = 'a\\n', access_key_password = 'b' })",
            "zenlayer.new({ token = '' })", "zenlayer.new({ token = 'a b\\0' })",
        } do
            local theirs = table.pack(far:run("return " .. text))
            assert.same(table.pack(remote.run_here(near, "return " .. text)), theirs, text)
            assert.is_true(theirs[2].is_error, text)
            assert.equal("not_sent", theirs[2].outcome, text)
        end
    end)

    it("but what only zenlayer can is refused by name", function()
        for option, value in pairs {
            ca_file = "'/etc/ssl/certs/ca-certificates.crt'", ca_path = "'/etc/ssl/certs'",
        } do
            local _, err = far:run(("return zenlayer.new { access_key_id = 'a', "
                .. "access_key_password = 'b', %s = %s }"):format(option, value))
            remote.failure({
                kind = "argument", code = "INVALID_ARGUMENT", where = "options." .. option,
                outcome = "not_sent",
            }, nil, err)
            assert.is_truthy(err.message:find("lua_ssl_trusted_certificate", 1, true))
        end
        for _, scheme in ipairs { "https", "socks5", "socks4a" } do
            local _, err = far:run(("return zenlayer.new { access_key_id = 'a', "
                .. "access_key_password = 'b', proxy = '%s://u:s3cret@127.0.0.1:1' }")
                :format(scheme))
            remote.failure({ code = "INVALID_ARGUMENT", where = "options.proxy" }, nil, err)
            assert.is_nil(tostring(err):find("s3cret", 1, true))
        end
        local _, err = far:run("return zenlayer.new { access_key_id = 'a', "
            .. "access_key_password = 'b', allow_blocking = true }")
        remote.failure({ code = "UNKNOWN_OPTION" }, nil, err)
    end)

    it("there are no methods that would need libcurl, and none of any other name", function()
        for name, text in pairs {
            connect = "there are call (any action of the API), close, describe_instances_status, "
                .. "pages, stop_instances, wait_until_stopped",
            poll = "there are call", submit_call = "the nearest is 'call'",
            sockets = "there are call", stop_instance = "the nearest is 'stop_instances'",
            stopInstances = "the nearest is 'stop_instances'",
        } do
            local ok, err = pcall(far.run, far, "return client." .. name)
            assert.is_false(ok)
            remote.failure({
                kind = "argument", code = "UNKNOWN_METHOD", outcome = "not_sent",
            }, nil, err)
            assert.is_truthy(err.message:find(("a client has no method '%s'; %s"):format(name,
                text), 1, true), err.message)
        end
        assert.same({ n = 3 }, table.pack(far:run "return client[1], client.__eq, client[true]"))
        assert.is_true(far:run "client.of_ones_own = true return client.of_ones_own")
    end)
end)
