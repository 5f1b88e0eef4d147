import type { VNode } from 'preact';
import { Facts, Page, Section } from '../../parts/page.tsx';
import { Empty } from '../../parts/problem.tsx';
import { session } from '../../session.ts';
import { Sessions } from './sessions.tsx';
import { Tokens } from './tokens.tsx';

const logins: Readonly<Record<string, string>> = {
  session: 'in this browser',
  host: 'by your application',
  basic: 'with a password that the browser keeps',
};

/** The user of the page: groups, tokens and sessions. */
export function MyAccount(): VNode {
  const { principal } = session.value ?? {};
  if (principal === null || principal === undefined) {
    return (
      <Page title="My account">
        <Empty>You are not logged in.</Empty>
      </Page>
    );
  }
  const { id, groups, via, source } = principal;
  return (
    <Page title="My account">
      <Facts
        facts={[
          ['User name', id],
          ['Groups', groups.length === 0 ? 'none' : groups.join(', ')],
          ['Logged in', logins[via] ?? via],
        ]}
      />
      <Tokens account={id} path="session/tokens" />
      {via === 'host' || source === 'oidc' ? (
        <p class="note">Tokens stop working 30 days after your last login here. Log in again to keep them working.</p>
      ) : undefined}
      <Section title="Sessions">
        <Sessions user={id} />
      </Section>
    </Page>
  );
}
