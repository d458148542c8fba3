-- endpoint and connect_to: https URLs of a host and a port; http on loopback alone.
local errors = require "binding_errors"
local zenlayer = require "zenlayer"

local GOOD = {
    "https://console.zenlayer.com", "https://console.zenlayer.com/", "HTTPS://Console.Zenlayer.Com",
    "https://console.zenlayer.com:443", "https://a", "https://a-b.c_d:1", "https://a:65535",
    "https://10.1.2.3", "https://[::1]", "https://[2001:db8::1]:8443", "https://127.evil.example",
    "http://localhost", "http://localhost:8080/", "http://LOCALHOST:1", "http://127.0.0.1",
    "http://127.1.2.3:9", "http://127.255.255.255", "http://[::1]", "http://[::1]:8080",
}

local BAD = {
    -- no https URL
    "console.zenlayer.com", "//console.zenlayer.com", "https", "https:", "https:/a", "https//a",
    "ftp://a", "file:///etc/passwd", "wss://a", " https://a", "httpss://a", "https:a",
    -- http to another machine
    "http://console.zenlayer.com", "http://10.0.0.1", "http://128.0.0.1", "http://0.0.0.0",
    "http://127.evil.example", "http://127.0.0.1.evil.example", "http://localhost.evil.example",
    "http://localhost.", "http://xlocalhost", "http://127.0.0.1.", "http://127.0.0", "http://127.",
    "http://127.0.0.0001", "http://[::2]", "http://[::ffff:10.0.0.1]",
    -- no host, or none that is one
    "https://", "https:///", "https:///path", "https://:443", "https://?x", "https://a b",
    "https://a,b", "https://*", "https://é.example", "https://a%2eb", "https://[", "https://[]",
    "https://[::1", "https://::1", "https://[::1]x", "https://[fe80::1%25eth0]", "https://[xyz]",
    "https://a\\b", "https://" .. ("a"):rep(256),
    -- no port
    "https://a:", "https://a:/", "https://a:0", "https://a:65536", "https://a:99999",
    "https://a:100000", "https://a:-1", "https://a:+1", "https://a:1x", "https://a: 1",
    "https://a:443:443", "https://a:0x1", "https://a:4294967739",
    -- more than a host and a port
    "https://user@a", "https://user:password@a", "https://a@evil.example", "https://@a",
    "https://a/b", "https://a//", "https://a/api/v2", "https://a?x=1", "https://a#x", "https://a/?",
    "https://a\\@b",
    -- what must not reach a header
    "https://a\r\nX-Evil: 1", "https://a\n", "https://a\0", "https://a\0.example", "https://a\t",
}

describe("endpoint", function()
    it("takes https URLs, and http ones of this machine", function()
        for _, endpoint in ipairs(GOOD) do
            local ok, client = pcall(zenlayer.new, errors.options { endpoint = endpoint })
            assert(ok, endpoint .. ": " .. tostring(client))
            client:close()
        end
    end)

    it("refuses everything else", function()
        local taken = {}
        for _, endpoint in ipairs(BAD) do
            local ok, err = pcall(zenlayer.new, errors.options { endpoint = endpoint })
            if ok then
                taken[#taken + 1] = ("%q"):format(endpoint)
            else
                errors.refused({ where = "options.endpoint" }, function(module)
                    return module.new(errors.options { endpoint = endpoint })
                end)
                assert.is_nil(err.message:find("password@", 1, true))
            end
        end
        assert.same({}, taken)
    end)
end)

describe("an http endpoint", function()
    -- What is no address is looked up as a name, and may be anywhere.
    it("that only looks like a loopback address is refused", function()
        for _, host in ipairs { "127.0.0.256", "127.0.0.999", "127.0..1", "127..0.1" } do
            errors.refused({ where = "options.endpoint" }, function(module)
                return module.new(errors.options { endpoint = "http://" .. host })
            end)
        end
    end)
end)

describe("connect_to", function()
    it("takes a host, with a port or without", function()
        for _, address in ipairs { "a", "a:1", "127.0.0.1", "127.0.0.1:65535", "[::1]",
            "[::1]:8443", "console.zenlayer.com:443" } do
            local ok, client = pcall(zenlayer.new, errors.options { connect_to = address })
            assert(ok, address .. ": " .. tostring(client))
            client:close()
        end
    end)

    it("refuses everything else", function()
        for _, address in ipairs { "https://a", "a:", "a:0", "a:65536", "a:x", ":443", "a b", "a/b",
            "u@a", "::1", "[::1", "a\r\nb", "a\n", "a\0b", "a,b", "a:1:2" } do
            errors.refused({ where = "options.connect_to" }, function(module)
                return module.new(errors.options { connect_to = address })
            end)
        end
    end)
end)
