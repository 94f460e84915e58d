/* npm's official client of Cloudflare's API, as its README uses it, against ours. Reads one JSON request from standard
 * input: {options, calls: [[path of the method, argument, ...], ...]}; writes what each call gave or threw. */
const Cloudflare = require('cloudflare');

async function call(client, [path, ...parameters]) {
    const names = path.split('.');
    const method = names.pop();
    let owner = client;
    for (const name of names)
        owner = owner[name];
    try {
        if (method === 'all') { // an automatically paged list
            const items = [];
            const list = names.pop();
            owner = client;
            for (const name of names)
                owner = owner[name];
            for await (const item of owner[list](...parameters))
                items.push(item);
            return { value: items };
        }
        return { value: await owner[method](...parameters) };
    } catch (error) {
        return { thrown: error.constructor.name, status: error.status, errors: error.errors, message: error.message };
    }
}

async function main() {
    let text = '';
    for await (const chunk of process.stdin)
        text += chunk;
    const { options, calls } = JSON.parse(text);
    const requests = [];
    const client = new Cloudflare({
        ...options,
        fetch: async (url, init) => {
            const reply = await (await import('node-fetch')).default(url, init);
            requests.push([init.method, reply.status]);
            return reply;
        },
    });
    const results = [];
    for (const each of calls)
        results.push(await call(client, each));
    process.stdout.write(JSON.stringify({ results, requests }));
}

main().catch((error) => { console.error(error); process.exit(1); });
