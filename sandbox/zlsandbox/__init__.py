"""A local Zenlayer: the modules behind the zenlayer-sandbox command.

    zc2          the request signature, stage by stage
    http1        reads requests from a socket, writes answers as bytes
    answers      what an answer is, and the API's JSON answers
    fleet        the instances and their states
    parameters   decodes and checks the JSON parameters of a request
    actions      what each action of each service does
    gate         who is calling, and is it true (signature, token, clock)
    limiter      the rate limit
    api          one request through gate, limiter and action
    faults       the fault script: which request meets which fault
    checks       what a value in a fault script may be
    kinds        the kinds of fault: what each one does to an answer
    delivery     puts an answer on the wire: whole, late, cut, or not at all
    journal      one line of JSON for everything that happened
    certificate  the throw-away certificate authority
    server       listens, and serves each connection in a thread
    options      the command line
    program      puts it all together, and ends it

Dependencies point one way: program, server, then api and faults, then the rest; zc2, http1 and
fleet know nobody.
"""
