import type { ProviderLogins, SignedIn } from '../../ports/access/sessions.js';
import { RegistryError } from '../../protocol/errors.js';
import type { LoginProviderConfig } from '../../protocol/settings/token-config.js';
import type { LoginProblem } from '../../protocol/tokens/login-problem.js';
import { refuse, throttledLogin } from '../authentication/refused-login.js';
import { LoginProvider, type LoginProviderParts } from './login-provider.js';
import { placeOf, type LoginThrottle } from './login-throttle.js';

/** The dependencies of `StoredProviderLogins`. */
export interface ProviderLoginsParts extends LoginProviderParts {
  /** The throttle of passwords, so that failures of both kinds count together for an address. */
  readonly throttle: LoginThrottle;
  /** Notes a login. Returns the user with the stamp of its record, or why the login is refused. */
  readonly signIn: (user: SignedIn) => Promise<SignedIn | LoginProblem>;
}

const shown = { username: '', via: 'oidc' } as const;

/** Logs people in with the configured OIDC providers. */
export class StoredProviderLogins implements ProviderLogins {
  readonly providers: ProviderLogins['providers'];
  readonly #parts: ProviderLoginsParts;
  readonly #providers: ReadonlyMap<string, LoginProvider>;

  constructor(configs: readonly LoginProviderConfig[], parts: ProviderLoginsParts) {
    this.providers = configs.map(({ name, title }) => ({ name, title }));
    this.#parts = parts;
    this.#providers = new Map(configs.map((config) => [config.name, new LoginProvider(config, parts)]));
  }

  async begin(provider: string, redirectUri: string): ReturnType<ProviderLogins['begin']> {
    return this.#find(provider).begin(redirectUri);
  }

  async complete(
    provider: string,
    { query, secret, redirectUri, address }: Parameters<ProviderLogins['complete']>[1],
  ): Promise<SignedIn> {
    const found = this.#find(provider);
    const uncount = await this.#admit(provider, address);
    let isRefused = false;
    try {
      const identified = await found.complete(query, secret, redirectUri);
      const signedIn = typeof identified === 'string' ? identified : await this.#parts.signIn(identified);
      if (typeof signedIn === 'object') return signedIn;
      isRefused = true;
      await this.#parts.throttle.fail(placeOf(address), userOf(provider));
      const refusedLogin = refuse(signedIn, shown);
      throw new RegistryError('UNAUTHORIZED', { message: 'the login was refused', refusedLogin });
    } finally {
      if (!isRefused) uncount();
    }
  }

  /** Each provider is counted as one user of the address: an attacker knows no name, but makes us ask the provider. */
  async #admit(provider: string, address: string): Promise<() => void> {
    try {
      return await this.#parts.throttle.admit(placeOf(address), userOf(provider));
    } catch (error) {
      throw throttledLogin(error, shown) ?? error;
    }
  }

  /** Returns whether a provider is configured as it was at a login. */
  isConfigured(stamp: string): boolean {
    return [...this.#providers.values()].some((provider) => provider.stamp === stamp);
  }

  #find(name: string): LoginProvider {
    const provider = this.#providers.get(name);
    if (provider !== undefined) return provider;
    throw new RegistryError('NOT_FOUND', { message: 'login provider not found', detail: { provider: name } });
  }
}

/** Returns the name under which logins with a provider are counted. */
function userOf(provider: string): string {
  return `login:${provider}`;
}
