// Gets a token by client credentials with a library nobody here wrote, calls an
// API with it, and prints what the API said.
//
//   node client.mjs LIBRARY SERVER REF API    with the key in EVERGRANT_API_KEY
import * as oidc from 'openid-client';
import { ClientCredentials } from 'simple-oauth2';

const [library, server, ref, api] = process.argv.slice(2);
const key = process.env.EVERGRANT_API_KEY;

const libraries = {
  // Reads the metadata first (RFC 8414); sends the secret in the body, or by Basic.
  'openid-client': () => discovered(oidc.ClientSecretPost(key)),
  'openid-client-basic': () => discovered(oidc.ClientSecretBasic(key)),
  'simple-oauth2': async () => {
    const client = new ClientCredentials({
      client: { id: ref, secret: key },
      auth: { tokenHost: server, tokenPath: '/oauth/token' },
    });
    return (await client.getToken({})).token;
  },
};

async function discovered(auth) {
  const config = await oidc.discovery(new URL(server), ref, undefined, auth, {
    algorithm: 'oauth2',
    execute: [oidc.allowInsecureRequests],
  });
  return oidc.clientCredentialsGrant(config);
}

try {
  const token = await libraries[library]();
  if (!(token.expires_in > 0)) {
    throw new Error(`expires_in is ${token.expires_in}`);
  }
  const answer = await fetch(api, { headers: { Authorization: `Bearer ${token.access_token}` } });
  console.log(JSON.stringify({ status: answer.status, body: await answer.text() }));
} catch (error) {
  console.log(JSON.stringify({ error: error.error ?? error.data?.payload?.error ?? String(error), status: error.status ?? error.output?.statusCode }));
}
