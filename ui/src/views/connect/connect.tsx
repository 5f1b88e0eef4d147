import type { VNode } from 'preact';
import type { RepositoryDocument } from '../../../../src/protocol/documents/repositories.js';
import { get, urlOf } from '../../api.ts';
import type { ViewProps } from '../../app.tsx';
import { connectGuides, type Lines } from './connect-guides.ts';
import { hrefOf, setQuery } from '../../location.ts';
import { SelectField } from '../../parts/field.tsx';
import { Icon } from '../../parts/icon.tsx';
import { Page, Section, Tabs } from '../../parts/page.tsx';
import { Answered } from '../../parts/problem.tsx';
import { Copy } from '../../parts/texts.tsx';
import { session } from '../../session.ts';
import { useAnswer } from '../../use-answer.ts';
import { WayTest } from './way-test.tsx';

/** Lines that connect clients to the registry, ready to copy. */
export function Connect({ query }: ViewProps): VNode {
  const answer = useAnswer(
    (signal) => get<{ readonly repositories: readonly RepositoryDocument[] }>('repositories', {}, signal),
    [],
  );
  return (
    <Page title="Connect">
      <Answered answer={answer} what="The repositories could not be read">
        {({ repositories }) => <Guides query={query} repositories={repositories.map(({ name }) => name)} />}
      </Answered>
    </Page>
  );
}

function Guides({
  query,
  repositories,
}: {
  readonly query: URLSearchParams;
  readonly repositories: readonly string[];
}): VNode | null {
  const place = session.value?.registry;
  if (place === undefined) return null;
  const repository = query.get('repository') ?? repositories[0] ?? 'REPOSITORY';
  const guides = connectGuides(place, repository);
  const shown = guides.find(({ key }) => key === query.get('client')) ?? guides[0];
  const tabs = guides.map(({ key, client }) => ({
    key,
    title: client,
    href: hrefOf('/connect', { client: key, repository: query.get('repository') ?? undefined }),
  }));
  return (
    <>
      {place.prefix === '' ? undefined : <Prefixed prefix={place.prefix} />}
      <div class="tools">
        <SelectField
          label="Repository"
          value={repository}
          options={[...new Set([...repositories, repository])].map((name) => [name, name])}
          onChange={(name) => setQuery({ repository: name })}
        />
      </div>
      <Tabs label="Clients" tabs={tabs} current={shown?.key ?? ''} />
      {shown?.lines.map((lines) => (
        <Block key={lines.title} lines={lines} />
      ))}
      <WayTest />
      <p>
        Scripts use the management API: <a href={urlOf('openapi.json')}>its description as OpenAPI 3.1</a>.
      </p>
    </>
  );
}

function Prefixed({ prefix }: { readonly prefix: string }): VNode {
  return (
    <div class="note">
      <Icon name="warning" />
      <div>
        The registry is mounted below <code>{prefix}</code>. Only containerd supports that. For other clients, a proxy
        must forward <code>/v2/</code> to <code>{prefix}/v2/</code>.
      </div>
    </div>
  );
}

function Block({ lines: { title, file, text } }: { readonly lines: Lines }): VNode {
  return (
    <Section title={title} actions={<Copy text={text} label={`Copy: ${title}`} />}>
      {file === undefined ? undefined : (
        <p class="faint">
          In <code>{file}</code>
        </p>
      )}
      <pre>{text}</pre>
    </Section>
  );
}
