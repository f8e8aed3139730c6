"""python -m hounsfield"""

from hounsfield.cli import main

main()
