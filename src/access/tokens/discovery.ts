import { isKeyServerUrl } from '../../protocol/settings/token-config.js';
import type { Transport } from '../../util/outgoing/transport.js';
import { fetchJson } from './fetch-json.js';

/** The discovery document of an issuer (OpenID Connect Discovery 1.0, section 3). */
export type Discovered = Readonly<Record<string, unknown>>;

/** Fetches the discovery document of an issuer. @throws Error also if the document is for another issuer. */
export async function discoverIssuer(issuer: string, transport: Transport, timeoutMs: number): Promise<Discovered> {
  const url = new URL(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`);
  const found = (await fetchJson(url, transport, timeoutMs)) as Discovered;
  // Section 4.3: must equal the configured issuer.
  if (found['issuer'] !== issuer) throw new Error('its discovery document is for another issuer');
  return found;
}

/** Returns a URL of the document. @throws Error if it is not https, or http on a loopback address. */
export function endpointOf(discovered: Discovered, name: string): string {
  const url = discovered[name];
  if (typeof url !== 'string' || !isKeyServerUrl(url)) throw new Error(`its ${name} is not an https URL`);
  return url;
}
