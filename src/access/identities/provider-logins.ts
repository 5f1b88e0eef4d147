import type { ProviderLogins, SignedIn } from '../../ports/sessions.js';
import { RegistryError } from '../../protocol/errors.js';
import type { LoginProviderConfig } from '../../protocol/settings/token-config.js';
import { refuse } from '../refused-login.js';
import { LoginProvider, type LoginProviderParts } from './login-provider.js';

/** Logs people in with the configured OIDC providers. */
export class StoredProviderLogins implements ProviderLogins {
  readonly providers: ProviderLogins['providers'];
  readonly #parts: LoginProviderParts;
  readonly #providers: ReadonlyMap<string, LoginProvider>;

  constructor(configs: readonly LoginProviderConfig[], parts: LoginProviderParts) {
    this.providers = configs.map(({ name, title }) => ({ name, title }));
    this.#parts = parts;
    this.#providers = new Map(configs.map((config) => [config.name, new LoginProvider(config, parts)]));
  }

  async begin(provider: string, redirectUri: string): ReturnType<ProviderLogins['begin']> {
    return this.#find(provider).begin(redirectUri);
  }

  async complete(
    provider: string,
    { query, secret, redirectUri }: Parameters<ProviderLogins['complete']>[1],
  ): Promise<SignedIn> {
    const found = await this.#find(provider).complete(query, secret, redirectUri);
    if (typeof found === 'object') return found;
    const refusedLogin = refuse(found, { username: '', via: 'oidc' });
    throw new RegistryError('UNAUTHORIZED', { message: 'the login was refused', refusedLogin });
  }

  /** Returns whether a login with this stamp still holds: its provider is configured as it was, and the name is still free. */
  async accepts(user: string, stamp: string): Promise<boolean> {
    const isConfigured = [...this.#providers.values()].some((provider) => provider.stamp === stamp);
    return isConfigured && !(await this.#parts.isTaken(user));
  }

  #find(name: string): LoginProvider {
    const provider = this.#providers.get(name);
    if (provider !== undefined) return provider;
    throw new RegistryError('NOT_FOUND', { message: 'login provider not found', detail: { provider: name } });
  }
}
