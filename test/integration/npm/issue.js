/* npm's acme-client as its README uses it: account, automatic order, revocation. Reads one JSON request from
 * standard input, writes one JSON reply. */
const acme = require('acme-client');

const curves = { p256: 'P-256', p384: 'P-384' };

async function makeKey(kind) {
    if (kind.startsWith('rsa'))
        return acme.crypto.createPrivateRsaKey(Number(kind.slice(3)));
    return acme.crypto.createPrivateEcdsaKey(curves[kind]);
}

async function obtain(client, { names, kind }) {
    const [key, csr] = await acme.crypto.createCsr({ altNames: names }, await makeKey(kind));
    const unexpected = async () => { throw new Error('a challenge was tried'); };
    const certificate = await client.auto({
        csr, termsOfServiceAgreed: true, challengeCreateFn: unexpected, challengeRemoveFn: unexpected,
    });
    return { certificate, key: key.toString() };
}

async function main() {
    let text = '';
    for await (const chunk of process.stdin)
        text += chunk;
    const request = JSON.parse(text);
    const client = new acme.Client({
        directoryUrl: request.directory,
        accountKey: request.accountKey,
        externalAccountBinding: request.binding,
    });
    if (request.action === 'revoke') {
        await client.createAccount({ onlyReturnExisting: true });
        await client.revokeCertificate(request.certificate, { reason: 4 });
        return {};
    }
    return obtain(client, request);
}

main().then((reply) => process.stdout.write(JSON.stringify(reply)), (error) => {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
});
