import type { ComponentChildren, VNode } from 'preact';
import type {
  ProblemDocument,
  RepositoryStatusDocument,
  StatusDocument,
} from '../../../../src/protocol/documents/status.js';
import { get } from '../../api.ts';
import { compareNaturally, count, formatBytes, formatNumber, formatShare } from '../../format.ts';
import { hrefOf } from '../../location.ts';
import { Icon } from '../../parts/icon.tsx';
import { isolate } from '../../parts/isolate.tsx';
import { Page, Section } from '../../parts/page.tsx';
import { Answered, Empty } from '../../parts/problem.tsx';
import { Table, type Column } from '../../parts/table.tsx';
import { Bytes, CopyLine, When } from '../../parts/texts.tsx';
import { session } from '../../session.ts';
import { useAnswer, useRefresh } from '../../use-answer.ts';
import { CollectNow } from './collect-now.tsx';
import { Usage } from './usage.tsx';

const refreshSeconds = 30;

/** The state of the registry at a glance: stored bytes, problems and repositories. */
export function Overview(): VNode {
  const answer = useAnswer((signal) => get<StatusDocument>('status', {}, signal), []);
  useRefresh(refreshSeconds, answer);
  return (
    <Page
      title="Overview"
      actions={session.value?.may.admin === true ? <CollectNow onDone={answer.reload} /> : undefined}
    >
      <Answered answer={answer} what="The status could not be read">
        {(status) => (
          <>
            <Problems problems={status.problems} />
            <Figures status={status} />
            {status.repositories.length === 0 ? undefined : <Usage />}
            <Section title="Repositories">
              <RepositoryTable repositories={status.repositories} />
            </Section>
            {status.stored_bytes === 0 ? <FirstPush repositories={status.repositories} /> : undefined}
          </>
        )}
      </Answered>
    </Page>
  );
}

function Problems({ problems }: { readonly problems: readonly ProblemDocument[] | undefined }): VNode | null {
  if (problems === undefined || problems.length === 0) return null;
  return (
    <>
      {problems.map(({ kind, severity, what, where, since, advice }) => (
        <div key={kind + (where ?? '') + what} class={severity === 'error' ? 'problem' : 'note'}>
          <Icon name={severity === 'error' ? 'alert' : 'warning'} label={severity} />
          <div>
            <p>
              {where === null ? undefined : <strong>{isolate(where)}: </strong>}
              {isolate(what)}
              {since === null ? undefined : (
                <>
                  {' '}
                  <span class="faint">
                    (since <When at={since} />)
                  </span>
                </>
              )}
            </p>
            <p>{isolate(advice)}</p>
          </div>
        </div>
      ))}
    </>
  );
}

function Figures({ status }: { readonly status: StatusDocument }): VNode {
  const { stored_bytes: stored, reclaimable, trash_bytes: trash, disk, problems } = status;
  return (
    <div class="cards">
      <Figure title="Stored" value={formatBytes(stored)}>
        {disk == null
          ? undefined
          : `on a disk with ${formatBytes(disk.free_bytes)} free of ${formatBytes(disk.total_bytes)}${fullText(disk.full_in_days)}`}
      </Figure>
      <Figure title="Reclaimable" value={reclaimable === null ? '…' : formatBytes(reclaimable.bytes)}>
        {reclaimable === null ? 'not counted yet' : 'by garbage collection'}
      </Figure>
      {trash === undefined ? undefined : (
        <Figure title="Trash" value={trash === null ? '…' : formatBytes(trash)}>
          deleted, can be restored
        </Figure>
      )}
      <HitFigure repositories={status.repositories} />
      {problems === undefined ? undefined : (
        <Figure title="Problems" value={formatNumber(problems.length)}>
          {problems.length === 0 ? 'everything works' : 'see above'}
        </Figure>
      )}
    </div>
  );
}

function fullText(days: number | null): string {
  if (days === null) return '';
  return days === 0 ? ', full within a day' : `, full in about ${count(days, 'day')}`;
}

function Figure({
  title,
  value,
  children,
}: {
  readonly title: string;
  readonly value: string;
  readonly children?: ComponentChildren;
}): VNode {
  return (
    <div class="card">
      <p class="faint">{title}</p>
      <p class="figure">{value}</p>
      <p class="faint">{children}</p>
    </div>
  );
}

function HitFigure({ repositories }: { readonly repositories: readonly RepositoryStatusDocument[] }): VNode | null {
  const shares = repositories.map(countHits).filter((hits) => hits !== undefined);
  const asked = shares.reduce((sum, { all }) => sum + all, 0);
  const hits = shares.reduce((sum, one) => sum + one.hits, 0);
  if (asked === 0) return null;
  return (
    <Figure title="Cache hits" value={formatShare(hits / asked)}>
      of {formatNumber(asked)} requests
    </Figure>
  );
}

function countHits({ counters }: RepositoryStatusDocument): { hits: number; all: number } | undefined {
  if (counters === undefined) return undefined;
  const numberOf = (key: string): number => (typeof counters[key] === 'number' ? counters[key] : 0);
  const hits = numberOf('hit') + numberOf('stale') + numberOf('revalidated');
  return { hits, all: hits + numberOf('miss') };
}

function RepositoryTable({ repositories }: { readonly repositories: readonly RepositoryStatusDocument[] }): VNode {
  if (repositories.length === 0) {
    return (
      <Empty>
        <p>There are no repositories yet.</p>
      </Empty>
    );
  }
  return (
    <Table caption="Repositories" rows={repositories} columns={columns} keyOf={({ name }) => name} order={byBytes} />
  );
}

const byBytes = { key: 'bytes', isDescending: true };

const columns: readonly Column<RepositoryStatusDocument>[] = [
  {
    key: 'name',
    title: 'Repository',
    compare: (one, other) => compareNaturally(one.name, other.name),
    cell: ({ name }) => <a href={hrefOf('/images', { repository: name })}>{name}</a>,
  },
  { key: 'type', title: 'Type', isWide: true, cell: ({ repo_type: type }) => type },
  {
    key: 'images',
    title: 'Images',
    isNumber: true,
    isLargestFirst: true,
    compare: (one, other) => (one.images ?? -1) - (other.images ?? -1),
    cell: ({ images }) => (images === undefined ? '' : formatNumber(images)),
  },
  {
    key: 'tags',
    title: 'Tags',
    isNumber: true,
    isWide: true,
    isLargestFirst: true,
    compare: (one, other) => (one.tags ?? -1) - (other.tags ?? -1),
    cell: ({ tags }) => (tags === undefined ? '' : formatNumber(tags)),
  },
  {
    key: 'bytes',
    title: 'Size',
    isNumber: true,
    isLargestFirst: true,
    compare: (one, other) => (one.bytes ?? -1) - (other.bytes ?? -1),
    cell: ({ bytes }) => (bytes === undefined ? '' : <Bytes value={bytes} />),
  },
  {
    key: 'unique',
    title: 'Only here',
    isNumber: true,
    isWide: true,
    isLargestFirst: true,
    compare: (one, other) => (one.unique_bytes ?? -1) - (other.unique_bytes ?? -1),
    cell: ({ unique_bytes: unique }) => (unique == null ? '' : <Bytes value={unique} />),
  },
  {
    key: 'pushed',
    title: 'Last push',
    isWide: true,
    cell: ({ pushed_at: at }) => (at === undefined ? '' : <When at={at} />),
  },
  { key: 'upstream', title: 'Upstream', isWide: true, cell: ({ upstream }) => <Upstream upstream={upstream} /> },
];

function Upstream({ upstream }: { readonly upstream: RepositoryStatusDocument['upstream'] }): VNode | null {
  if (upstream === undefined) return null;
  const { host, state } = upstream;
  return (
    <>
      {host} {state === undefined || state === 'closed' ? undefined : <span class="badge bad">breaker {state}</span>}
    </>
  );
}

/** The first steps with an empty registry. */
function FirstPush({ repositories }: { readonly repositories: readonly RepositoryStatusDocument[] }): VNode | null {
  const local = repositories.find(({ repo_type: type }) => type === 'local');
  const host = session.value?.registry.host;
  if (local === undefined || host === undefined) return null;
  const image = `${host}/${local.name}/app:1`;
  return (
    <Section title="Push the first image">
      <CopyLine text={`docker tag alpine ${image}`} label="Copy tag command" />
      <CopyLine text={`docker push ${image}`} label="Copy push command" />
    </Section>
  );
}
