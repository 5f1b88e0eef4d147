import { signal } from '@preact/signals';
import type { ComponentChildren, VNode } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { go, path, rememberView } from './location.ts';
import { LoginDialog } from './login.tsx';
import { Icon, type IconName } from './parts/icon.tsx';
import { announce, StatusRegion } from './parts/status.tsx';
import { askToLogIn, loginDialog, logOut, session } from './session.ts';
import { chooseTheme, theme, type Theme } from './theme.ts';

interface NavItem {
  /** The first part of the path. */
  readonly name: string;
  readonly title: string;
  /** Whether to show it to the user. @default always */
  readonly isShown?: () => boolean;
}

/** The entries of the menu, in the order of the bar. */
const items: readonly NavItem[] = [
  { name: '', title: 'Overview' },
  { name: 'repositories', title: 'Repositories' },
  { name: 'images', title: 'Images' },
  { name: 'caches', title: 'Caches', isShown: () => session.value?.may.admin === true },
  {
    name: 'access',
    title: 'Access',
    // An open registry has no accounts and rules.
    isShown: () => session.value?.may.admin === true && session.value.mode !== 'open',
  },
  { name: 'upload', title: 'Upload', isShown: mayPush },
  { name: 'connect', title: 'Connect' },
  { name: 'activity', title: 'Activity', isShown: () => session.value?.may.monitor === true },
  { name: 'jobs', title: 'Jobs', isShown: () => session.value?.may.monitor === true },
];

/** Whether rules let the user push is known only when it pushes. */
function mayPush(): boolean {
  const { mode, principal } = session.value ?? {};
  return mode === 'open' || (mode === 'rules' && principal !== null);
}

const isMenuOpen = signal(false);

/** The frame of all views: skip link, menu, search, theme and user. */
export function Shell({ children }: { readonly children: ComponentChildren }): VNode {
  const place = path.value;
  useEffect(() => void (isMenuOpen.value = false), [place]);
  return (
    <>
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          // The hash is the address of the view.
          event.preventDefault();
          document.querySelector<HTMLElement>('h1')?.focus();
        }}
      >
        Skip to content
      </a>
      <header class="bar">
        <a class="brand" href="#/">
          <img src={iconUrl} alt="" width="24" height="24" />
          <span>artifactapi</span>
        </a>
        <button
          type="button"
          class="icon-button menu-button"
          aria-expanded={isMenuOpen.value}
          aria-controls="menu"
          aria-label="Menu"
          onClick={() => (isMenuOpen.value = !isMenuOpen.value)}
        >
          <Icon name={isMenuOpen.value ? 'close' : 'menu'} />
        </button>
        <div id="menu" class={isMenuOpen.value ? 'menu open' : 'menu'}>
          <Navigation />
          <Search />
          <ThemeButton />
          <User />
        </div>
      </header>
      <main id="main">{children}</main>
      <StatusRegion />
      {loginDialog.value === undefined ? undefined : <LoginDialog />}
    </>
  );
}

function Navigation(): VNode {
  const current = path.value.split('/')[1] ?? '';
  return (
    <nav aria-label="Views">
      {items
        .filter(({ isShown }) => isShown?.() !== false)
        .map(({ name, title }) => (
          <a key={name} href={`#/${name}`} {...(name === current ? { 'aria-current': 'page' as const } : {})}>
            {title}
          </a>
        ))}
    </nav>
  );
}

/** The search field, to which `/` moves the focus. */
function Search(): VNode {
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const { target } = event;
      const isTyping = target instanceof HTMLElement && target.matches('input, textarea, select, [contenteditable]');
      if (event.key !== '/' || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
      if (document.querySelector('dialog[open]') !== null) return;
      event.preventDefault();
      isMenuOpen.value = true;
      field.current?.focus();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
  return (
    <search>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          isMenuOpen.value = false;
          go('/images', { q: field.current?.value.trim() ?? '' });
        }}
      >
        <Icon name="search" />
        <input
          ref={field}
          type="search"
          aria-label="Search images"
          placeholder="Search images ( / )"
          spellcheck={false}
        />
      </form>
    </search>
  );
}

const themeTexts: Readonly<Record<Theme, readonly [IconName, string, Theme]>> = {
  auto: ['system', 'Colors: system', 'light'],
  light: ['sun', 'Colors: light', 'dark'],
  dark: ['moon', 'Colors: dark', 'auto'],
};

function ThemeButton(): VNode {
  const [icon, label, next] = themeTexts[theme.value];
  return (
    <button type="button" class="icon-button" aria-label={label} title={label} onClick={() => chooseTheme(next)}>
      <Icon name={icon} />
    </button>
  );
}

function User(): VNode | null {
  const { principal, login, mode } = session.value ?? {};
  if (mode === 'open')
    return (
      <span class="user faint" title="Anyone on this machine may do everything">
        open access
      </span>
    );
  if (principal === null || principal === undefined) {
    if (login?.password === true) {
      return (
        <button type="button" class="primary" onClick={() => void askToLogIn()}>
          Log in
        </button>
      );
    }
    if (login?.url === undefined) return null;
    return (
      <a href={login.url} onClick={rememberView}>
        Log in
      </a>
    );
  }
  const leave = async (): Promise<void> => {
    await logOut();
    announce('Logged out');
  };
  return (
    <span class="user">
      <a href="#/account" title="My account">
        <Icon name="user" />
        <span>{principal.id}</span>
      </a>
      {principal.via === 'session' ? (
        <button type="button" onClick={() => void leave()}>
          Log out
        </button>
      ) : undefined}
    </span>
  );
}

const iconUrl = new URL('./icon.svg', import.meta.url).href;
